//! Every word that crosses the bus, and nothing that does I/O.
