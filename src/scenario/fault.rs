//! The section `[[fault]]`: what is broken, when, and whom it hits.

use std::time::Duration;

use super::aim::Pick;
use super::section::section;

section! {
    /// Something that is broken at a given time. It has exactly one kind.
    Fault {
        /// When, counted from the start of the load, warm-up included.
        at: Duration = required, "30s";
        /// How long it lasts. Kinds that are over at once have none.
        span as "for": Duration = ("until its kind is over"), "5s";
        /// Repeats it, each time so long after the last, while the load lasts.
        every: Duration = ("it happens once"), "10s";
        /// Moves each repetition by up to so much, earlier or later. At most half of `every`.
        jitter: Duration = ("none"), "2s";
        /// Kills actors: nothing is cleaned up; a group sees a crash. A pool goes on where it was.
        kill: Kill = ("none"), { consumer = 7 };
        /// The handler panics on the next record.
        panic: ConsumerAim = ("none"), { consumer = 7 };
        /// Consumers stop in order, and are started again; a group sees them leave.
        stop: ConsumerAim = ("none"), { consumer = 7 };
        /// The data thread stops polling, and obeys nobody, for `for` or for ever.
        hang: ConsumerAim = ("none"), { consumer = 7 };
        /// The handler blocks for `for` on the next record.
        stall: ConsumerAim = ("none"), { consumer = 7 };
        /// Records cost more for `for`.
        slow: Slow = ("none"), { consumer = 7, factor = 10 };
        /// Kills consumers whose old client then takes `for` to close.
        late_close: ConsumerAim = ("none"), { consumer = 7 };
        /// Every incarnation panics on its first record, so many `times` or for `for`.
        crash_loop: CrashLoop = ("none"), { consumer = 7, times = 3 };
        /// The next record makes every incarnation panic that comes to it.
        poison: PartitionAim = ("none"), { partition = 3 };
        /// Pools send nothing for `for`; what is overdue is then sent late.
        pause: PoolAim = ("none"), { pool = 0 };
    }
}

section! {
    /// Who is killed.
    Kill {
        /// Consumers, from 0. In assigned mode they have their partition's number.
        consumer: Pick = ("none"), 7;
        /// Producer pools, from 0.
        pool: Pick = ("none"), 0;
    }
}

section! {
    /// Consumers.
    ConsumerAim {
        /// From 0. In assigned mode they have their partition's number.
        consumer: Pick = required, 7;
    }
}

section! {
    /// Who becomes slow, and how. One of `factor` and `add`.
    Slow {
        /// Consumers, from 0.
        consumer: Pick = required, 7;
        /// Times the work of each record.
        factor: f64 = ("none"), 10;
        /// Added to each record.
        add: Duration = ("none"), "2ms";
    }
}

section! {
    /// Who crashes again and again.
    CrashLoop {
        /// Consumers, from 0.
        consumer: Pick = required, 7;
        /// So many times each.
        times: u64 = ("as long as `for` lasts"), 3;
    }
}

section! {
    /// Partitions.
    PartitionAim {
        /// From 0.
        partition: Pick = required, 3;
    }
}

section! {
    /// Producer pools.
    PoolAim {
        /// From 0.
        pool: Pick = required, 0;
    }
}
