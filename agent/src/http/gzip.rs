//! gzip for clients that accept it. An exposition repeats the same names again and again, so it compresses well.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::HeaderMap;
use hyper::header::ACCEPT_ENCODING;

/// Whether `Accept-Encoding` accepts gzip: it names `gzip` or `*` with a weight that is not 0.
pub(super) fn is_wanted(headers: &HeaderMap) -> bool {
    headers
        .get_all(ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(accepts)
}

fn accepts(part: &str) -> bool {
    let mut words = part.split(';').map(str::trim);
    let is_named = words
        .next()
        .is_some_and(|word| word.eq_ignore_ascii_case("gzip") || word == "*");
    let is_refused = words.any(|word| {
        let weight = word.strip_prefix("q=").or(word.strip_prefix("Q="));
        weight.is_some_and(|weight| weight.parse() == Ok(0.0_f32))
    });
    is_named && !is_refused
}

/// Compresses `body` at the fastest level: an exposition becomes about five times smaller, which is enough.
///
/// # Errors
/// The encoder's error. Writing to a vector has none, but the API of `flate2` returns a result.
pub(super) fn compress(body: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    encoder.write_all(body)?;
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use hyper::header::HeaderValue;

    use super::*;

    fn wanted(values: &[&'static str]) -> bool {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(ACCEPT_ENCODING, HeaderValue::from_static(value));
        }
        is_wanted(&headers)
    }

    #[test]
    fn gzip_is_used_only_if_the_client_accepts_it() {
        assert!(wanted(&["gzip"]) && wanted(&["br, GZIP;q=0.5"]) && wanted(&["*"]));
        assert!(wanted(&["br", "deflate, gzip"]));
        assert!(!wanted(&[]) && !wanted(&["identity"]) && !wanted(&["gzip;q=0"]));
        assert!(!wanted(&["x-gzip-like", "br;q=1, gzip; q=0.0"]));
    }

    #[test]
    fn compressed_body_unpacks_to_the_original() {
        let body = "namedprocess_namegroup_num_procs{groupname=\"a\"} 1\n".repeat(1000);
        let packed = compress(body.as_bytes()).unwrap();
        assert!(packed.len() * 5 < body.len(), "{}", packed.len());
        let mut unpacked = String::new();
        flate2::read::GzDecoder::new(&packed[..])
            .read_to_string(&mut unpacked)
            .unwrap();
        assert_eq!(unpacked, body);
    }
}
