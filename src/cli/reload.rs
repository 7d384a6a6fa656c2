//! `mailsluice reload`

use hyper::Method;

use super::client::RequestPath;
use super::context::CliContext;
use super::failure::Failure;
use crate::control::view::Reloaded;
use crate::report::log::escape::printable;

pub(super) fn execute(context: &CliContext) -> Result<(), Failure> {
    let client = context.client()?;
    let reply = client.command::<Reloaded>(&Method::POST, &RequestPath::path(&["reload"]))?;
    context.print(&reply, |reloaded, viewer| {
        let mut lines = vec!["The configuration was read again and is in force.".to_owned()];
        if reloaded.changed.is_empty() {
            lines.push("Nothing in it has changed.".to_owned());
        }
        lines.extend(reloaded.changed.iter().map(|what| format!("  {}", printable(what))));
        viewer.sentences(&lines.join("\n"))
    })
}
