//! Bounds of the y-sweet family.

/// Bytes of a request that makes a document or asks for a token: an id, a user's name and a few words.
pub const REQUEST_BODY_BYTES_MAX: usize = 16 << 10;

/// Bytes of a question whether all is stored. The client's is a number and three bytes more; it is kept until it is
/// answered.
pub const ECHO_BYTES_MAX: usize = 128;
