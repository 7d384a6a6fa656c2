//! The control interface: HTTP over the Unix socket `DATA_DIR/control.sock`, for the command line.
//!
//! [`socket`] makes the connection, [`api`] answers the requests under `/api/v1`, [`view`] holds the shapes of
//! the JSON, which the command line reads again.

pub mod api;
mod config_request;
mod error;
pub mod socket;
mod state;
mod stream;
pub mod view;

pub use config_request::{ConfigRequest, ConfigRequests, KeptIn, SwitchError};
pub use error::ApiError;
pub use socket::{ControlSocket, SocketError};
pub use state::{ApiState, SharedState};
pub use stream::Streams;
