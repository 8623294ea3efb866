//! The shipped `docker-compose.yml`, unchanged, on stand-ins for the official images; and on it what the lab cannot do:
//! places that do not hear each other. Only `make test-compose` runs it, and fails without docker.
//!
//! `scripts/images.sh` makes the images. The build stage of the Dockerfile is not run: the programs are those that were
//! built for this test.
#![expect(clippy::unwrap_used, reason = "tests")]

mod cuts;
mod system;
