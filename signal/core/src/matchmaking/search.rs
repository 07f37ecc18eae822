//! The search for a group: of all that may go, the one with the oldest members.

/// What the search has to know of a ticket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    /// Seats that it takes.
    pub(crate) party: u32,
    /// The fewest and the most players that it wants to be.
    pub(crate) least: u32,
    pub(crate) most: u32,
    /// Whether fewer than the most are as good by now.
    pub(crate) is_patient: bool,
}

/// What came of a search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// The places of those who go with the first, in the order of age.
    Group(Vec<usize>),
    /// There is no group.
    Nothing,
    /// It would have taken too many steps to know, and what was found so far may not go.
    GaveUp,
}

/// Looks for the group of `first` and some of `others`, who are in the order of age and whom
/// `first` accepts and who accept it. `fit` says the same of two of the others.
///
/// A group may go if all accept each other, its players aren't more than anybody's most, and it is
/// full (as many as somebody's most), or the patient ones alone are as many as everybody's least.
/// Of all that may go, as far as `steps_max` reach, it is the one that has the older member where
/// they first differ; who isn't there counts as younger than everybody.
pub(crate) fn search(
    first: &Candidate,
    others: &[Candidate],
    steps_max: u32,
    fit: impl FnMut(usize, usize) -> bool,
) -> Found {
    // Of those from each place on: the seats, of them those of patient ones, the smallest most.
    let mut rests = vec![Rest { seats: 0, patient: 0, most: u32::MAX }; others.len() + 1];
    for (place, other) in others.iter().enumerate().rev() {
        let Rest { seats, patient, most } = rests[place + 1];
        rests[place] = Rest {
            seats: seats.saturating_add(other.party),
            patient: patient.saturating_add(patient_seats(other)),
            most: most.min(other.most),
        };
    }
    let mut search = Search { others, rests, fit, steps_left: steps_max, chosen: Vec::new() };
    if search.grow(0, Group::of(first)) {
        return Found::Group(search.chosen);
    }
    if search.steps_left == 0 { Found::GaveUp } else { Found::Nothing }
}

struct Search<'a, F> {
    others: &'a [Candidate],
    rests: Vec<Rest>,
    fit: F,
    steps_left: u32,
    chosen: Vec<usize>,
}

#[derive(Clone, Copy)]
struct Rest {
    seats: u32,
    patient: u32,
    most: u32,
}

/// What counts of a group.
#[derive(Clone, Copy)]
struct Group {
    seats: u32,
    /// Seats of those who are patient.
    patient: u32,
    least: u32,
    most: u32,
}

impl<F: FnMut(usize, usize) -> bool> Search<'_, F> {
    /// Makes `chosen` a group that may go, with others from `from` on. No deeper than a group has
    /// seats.
    fn grow(&mut self, from: usize, group: Group) -> bool {
        if group.is_full() {
            return true;
        }
        for place in from..self.others.len() {
            if !group.may_suffice_with(&self.rests[place]) {
                return false;
            }
            if !self.step() {
                break;
            }
            let Some(larger) = group.with(&self.others[place]) else { continue };
            if !self.fits_all(place) {
                continue;
            }
            self.chosen.push(place);
            if self.grow(place + 1, larger) {
                return true;
            }
            self.chosen.pop();
        }
        // Also when steps ran out, though there may be an older one: better than to wait for that.
        group.may_go()
    }

    fn fits_all(&mut self, place: usize) -> bool {
        for index in 0..self.chosen.len() {
            if !self.step() || !(self.fit)(self.chosen[index], place) {
                return false;
            }
        }
        true
    }

    fn step(&mut self) -> bool {
        self.steps_left = self.steps_left.saturating_sub(1);
        self.steps_left > 0
    }
}

impl Group {
    fn of(first: &Candidate) -> Self {
        let Candidate { party, least, most, .. } = *first;
        Self { seats: party, patient: patient_seats(first), least, most }
    }

    /// The group with one more, if that can be.
    fn with(&self, other: &Candidate) -> Option<Self> {
        let larger = Self {
            seats: self.seats + other.party,
            patient: self.patient + patient_seats(other),
            least: self.least.max(other.least),
            most: self.most.min(other.most),
        };
        (larger.seats.max(larger.least) <= larger.most).then_some(larger)
    }

    fn is_full(&self) -> bool {
        self.seats == self.most
    }

    fn may_go(&self) -> bool {
        self.is_full() || self.patient >= self.least
    }

    /// Whether it may go with some of the rest, as far as numbers tell.
    fn may_suffice_with(&self, rest: &Rest) -> bool {
        let seats = self.seats.saturating_add(rest.seats);
        let patient = self.patient.saturating_add(rest.patient);
        seats >= self.most.min(rest.most).max(self.least) || patient >= self.least
    }
}

fn patient_seats(candidate: &Candidate) -> u32 {
    if candidate.is_patient { candidate.party } else { 0 }
}
