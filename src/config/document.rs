//! JSON documents to buckets (05 §5).
