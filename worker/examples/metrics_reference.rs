//! Writes `docs/metrics.md` anew from the catalogue of metrics.

fn main() -> std::io::Result<()> {
    fs_err::write(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md"), worker::metrics::reference())
}
