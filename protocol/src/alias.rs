//! Aliases: ids of one entity. Each of a client's groups may call an entity by an id of its own; which of
//! them are the same is told behind the blocks of a frame, to that client alone.
//!
//! | part | bytes |
//! |---|---|
//! | how many entities | varint, 1 or more; nothing follows the blocks where there are none |
//! | for each: how many ids | varint, 2 or more |
//! | its ids, growing | varints: the first one, then by how much more than 1 each is greater than the one before |

use smallvec::SmallVec;

use crate::bits::{read_varint, write_varint};
use crate::frame::FrameError;
use crate::ids::WireId;

/// The ids of one entity, growing: two or more.
pub type Ids = SmallVec<[WireId; 4]>;

/// Appends which ids are the same entity's: for each entity two or more, growing. Appends nothing where
/// there is none.
///
/// # Panics
/// When the ids of an entity do not grow.
pub fn write(entities: &[Ids], out: &mut Vec<u8>) {
    if entities.is_empty() {
        return;
    }
    write_varint(out, entities.len() as u64);
    for ids in entities {
        write_varint(out, ids.len() as u64);
        let mut least = 0;
        for id in ids {
            let step = u64::from(id.0).checked_sub(least).expect("ids of an entity grow");
            write_varint(out, step);
            least = u64::from(id.0) + 1;
        }
    }
}

/// Reads which ids are the same entity's off the front of what is behind a frame's blocks, and gives each
/// entity's, growing.
///
/// # Errors
/// When the bytes end, when there is no entity, one of fewer than two ids, or an id that cannot be.
pub fn read(bytes: &mut &[u8], mut each: impl FnMut(&[WireId])) -> Result<(), FrameError> {
    let count = read_varint(bytes)?;
    if count == 0 {
        return Err(FrameError::Block("no entity has several ids"));
    }
    let mut ids = Ids::new();
    for _ in 0..count {
        ids.clear();
        let several = read_varint(bytes)?;
        if several < 2 {
            return Err(FrameError::Block("an entity has several ids that has one"));
        }
        let mut least = 0u64;
        for _ in 0..several {
            let id = least.checked_add(read_varint(bytes)?);
            let id = id.and_then(|id| u32::try_from(id).ok()).filter(|id| *id != WireId::ROOM.0);
            let id = id.ok_or(FrameError::Block("an id of several cannot be"))?;
            ids.push(WireId(id));
            least = u64::from(id) + 1;
        }
        each(&ids);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn told(bytes: &[u8]) -> Result<(Vec<Vec<u32>>, usize), FrameError> {
        let (mut rest, mut told) = (bytes, Vec::new());
        read(&mut rest, |ids| told.push(ids.iter().map(|id| id.0).collect()))?;
        Ok((told, rest.len()))
    }

    #[test]
    fn golden_bytes() {
        let ids = |ids: &[u32]| ids.iter().map(|id| WireId(*id)).collect::<Ids>();
        let mut out = Vec::new();
        write(&[ids(&[6, 9]), ids(&[1, 2, 300])], &mut out);
        assert_eq!(out, [2, 2, 6, 2, 3, 1, 0, 0xa9, 2]);
        assert_eq!(told(&out), Ok((vec![vec![6, 9], vec![1, 2, 300]], 0)));
        let mut none = Vec::new();
        write(&[], &mut none);
        assert!(none.is_empty());
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let most = [0xff, 0xff, 0xff, 0xff, 0x0f];
        let bad: [&[u8]; 5] =
            [&[], &[0], &[1, 1, 5], &[1, 2, 0, 5], &[&[1, 2][..], &most, &[0]].concat()];
        for bytes in bad {
            assert!(told(bytes).is_err(), "{bytes:?}");
        }
        assert!(told(&[1, 2, 5]).is_err(), "it ends early");
        assert_eq!(told(&[1, 2, 5, 0, 7]), Ok((vec![vec![5, 6]], 1)));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = told(&bytes);
        }
    }
}
