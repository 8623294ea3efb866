//! Points names at a site, and makes clients follow.
