//! Two sites of real servers on one machine.
