//! As much JSON as it takes to look into frames of a server without making copies.
//!
//! It trusts that they are JSON: what isn't, is found out by comparing payloads.

/// The fields of an object, in order: name and value as they stand there, names without quotes.
pub(crate) fn fields(object: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = inside(object);
    std::iter::from_fn(move || {
        let name = next_value(&mut rest)?;
        let value = next_value(&mut rest)?;
        Some((text(name), value))
    })
}

/// The values of an array, in order.
pub(crate) fn values(array: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = inside(array);
    std::iter::from_fn(move || next_value(&mut rest))
}

/// A string without its quotes. Escapes stay.
pub(crate) fn text(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value)
}

/// A whole number; nothing if it is none.
pub(crate) fn number(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0_u64, |sum, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        sum.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

fn inside(outer: &[u8]) -> &[u8] {
    outer.get(1..outer.len().saturating_sub(1)).unwrap_or_default()
}

fn next_value<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let begin = rest.iter().position(|byte| !b" ,:\t\r\n".contains(byte))?;
    let from = &rest[begin..];
    let (value, after) = from.split_at(length(from));
    *rest = after;
    Some(value)
}

/// How long the value is that these bytes begin with.
fn length(bytes: &[u8]) -> usize {
    match bytes[0] {
        b'"' => string_length(bytes),
        b'{' | b'[' => {
            let (mut place, mut depth) = (0, 0_usize);
            while let Some(byte) = bytes.get(place) {
                match byte {
                    b'"' => {
                        place += string_length(&bytes[place..]);
                        continue;
                    }
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => depth -= 1,
                    _ => {}
                }
                place += 1;
                if depth == 0 {
                    return place;
                }
            }
            bytes.len()
        }
        _ => bytes
            .iter()
            .position(|byte| b",:}] \t\r\n".contains(byte))
            .unwrap_or(bytes.len())
            .max(1),
    }
}

fn string_length(bytes: &[u8]) -> usize {
    let mut place = 1;
    while let Some(byte) = bytes.get(place) {
        match byte {
            b'"' => return place + 1,
            b'\\' => place += 2,
            _ => place += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_values_are_cut_where_they_end() {
        let object = br#"{"seq":12, "a\"b":"x\\","list":[1,{"c":"]"},"}"],"data":{"d":{}}}"#;
        let fields: Vec<_> = fields(object).collect();
        let expected: [(&[u8], &[u8]); 4] = [
            (b"seq", b"12"),
            (br#"a\"b"#, br#""x\\""#),
            (b"list", br#"[1,{"c":"]"},"}"]"#),
            (b"data", br#"{"d":{}}"#),
        ];
        assert_eq!(fields, expected);
        let expected: [&[u8]; 3] = [b"1", br#"{"c":"]"}"#, br#""}""#];
        assert_eq!(values(fields[2].1).collect::<Vec<_>>(), expected);
        assert_eq!((number(fields[0].1), number(b"1x"), number(b"")), (Some(12), None, None));
    }

    #[test]
    fn what_is_cut_off_does_no_harm() {
        let object = br#"{"a":"b\"#;
        for end in 0..object.len() {
            assert!(fields(&object[..end]).count() <= 1);
        }
    }
}
