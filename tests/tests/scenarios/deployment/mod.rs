//! The worker as operators get it: a service of systemd, a package, an image.

mod image;
mod package;
mod service;
