//! One core: its partitions, its mailbox and the router to the other shards.
