//! Ways to cut an input into pieces, as a network may deliver it.

/// Several ways to cut the same octets: in one piece, octet by octet, and irregularly as `seed` says.
pub(super) fn ways(seed: u8, input: &[u8]) -> [Vec<&[u8]>; 3] {
    [vec![input], input.chunks(1).collect(), irregular(seed, input)]
}

/// Pieces of pseudo-random lengths: mostly short ones, now and then a long one.
fn irregular(seed: u8, mut input: &[u8]) -> Vec<&[u8]> {
    let mut state = u32::from(seed) * 2 + 1;
    let mut pieces = Vec::new();
    while !input.is_empty() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let length = if state >> 30 == 0 { state >> 20 & 1023 } else { state >> 20 & 7 };
        let (piece, rest) = input.split_at(input.len().min(1 + length as usize));
        pieces.push(piece);
        input = rest;
    }
    pieces
}
