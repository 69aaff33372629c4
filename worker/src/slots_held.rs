//! How long a run counts for the limit of its pool.

/// Until when a run of a kind holds its slot. It is watched and reported until its end in either case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SlotsHeld {
    /// Until it is over.
    #[default]
    UntilEnd,
    /// Until its infrastructure exists, as Prefect's workers hold theirs where what they start goes on elsewhere.
    UntilSubmitted,
}

impl SlotsHeld {
    /// Whether a run that is not over holds its slot.
    pub const fn holds(self, is_submitted: bool) -> bool {
        match self {
            Self::UntilEnd => true,
            Self::UntilSubmitted => !is_submitted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_held_to_the_end_unless_it_may_be_given_back_before() {
        for (held, before, after) in [(SlotsHeld::UntilEnd, true, true), (SlotsHeld::UntilSubmitted, true, false)] {
            assert_eq!((held.holds(false), held.holds(true)), (before, after), "{held:?}");
        }
        assert_eq!(SlotsHeld::default(), SlotsHeld::UntilEnd);
    }
}
