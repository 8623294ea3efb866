//! What every service decides: claim, ledger, void, confirmation. Pure.
