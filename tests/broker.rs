//! The real binary under raw requests: what clients rely on and no unit can show.

#[path = "broker/admin.rs"]
mod admin;
#[path = "broker/data.rs"]
mod data;
#[path = "broker/life.rs"]
mod life;
#[path = "broker/requests.rs"]
mod requests;
#[path = "broker/waiting.rs"]
mod waiting;

mod support;
