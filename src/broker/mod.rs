//! Wiring: boot, CPU placement, shutdown.
