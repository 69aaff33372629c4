//! The worker as operators get it: a service of systemd, a package, an image.

mod image;
mod machine;
mod package;
mod service;
