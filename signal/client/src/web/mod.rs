//! What a room runs on in a browser. `native` has the same names for everything else.
