//! `-z`: the cluster configuration (05 §2).
