//! Lines of a dialogue.

/// Takes the first whole line out of what has arrived, without its CRLF.
pub fn take_line(inbox: &mut Vec<u8>) -> Option<String> {
    let end = inbox.windows(2).position(|pair| pair == b"\r\n")?;
    let line = String::from_utf8_lossy(&inbox[..end]).into_owned();
    inbox.drain(..end + 2);
    Some(line)
}
