//! The control interface: HTTP over the Unix socket `DATA_DIR/control.sock`, for the command line, and over TCP at the
//! console's address.
//!
//! [`socket`] and [`console`] let clients in, `serving` keeps their connections within bounds, `access` tells who a client at the
//! console's address is. [`api`] answers the requests under `/api/v1`, the same on both; [`view`] holds the shapes of the JSON,
//! which the command line reads again, and [`blacklist_file`] the blacklist as CSV.

mod access;
pub mod api;
pub mod blacklist_file;
mod config_request;
pub mod console;
mod error;
mod point_in_time;
mod scrapes;
mod serving;
pub mod socket;
mod state;
mod stream;
pub mod view;

pub use config_request::{ConfigRequest, ConfigRequests, KeptIn, SwitchError};
pub use console::{ConsoleError, ConsoleSocket};
pub use error::ApiError;
pub use socket::{ControlSocket, SocketError};
pub use state::{ApiState, SharedState};
pub use stream::Streams;

use tokio::io::{AsyncRead, AsyncWrite};

/// Answers one client of this process as the control socket would, until it goes.
pub async fn answer<S>(stream: S, state: SharedState)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    serving::serve_one(stream, api::router(state)).await;
}
