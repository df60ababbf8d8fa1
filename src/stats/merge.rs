//! Merging the statistics of several servers (06 §2.3).
