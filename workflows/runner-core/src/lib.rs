//! What the runner decides: groups, runs, epochs, debts. Pure.
