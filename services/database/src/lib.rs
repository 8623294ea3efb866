//! Closes and opens the access of named roles.
