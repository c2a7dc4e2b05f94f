//! A unix socket that only its owner may connect to.

use rustix::fs::{Mode, fchmod};
use socket2::{Domain, SockAddr, Socket, Type};
use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 64;

/// Listens at `path`, non-blocking, with mode 0600 from the first moment. A socket file that nobody
/// listens at, left behind by a process that was killed, is replaced.
///
/// # Errors
/// [`ErrorKind::AddrInUse`]: somebody listens there. [`ErrorKind::AlreadyExists`]: what is there is
/// no socket. Else what the kernel says; a path of more than 107 bytes is
/// [`ErrorKind::InvalidInput`].
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    clear(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // Linux gives the file the mode that the socket has when it is bound, less the umask
    // (unix_bind of net/unix/af_unix.c): there is no moment in which others could connect.
    fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    socket.bind(&SockAddr::unix(path)?)?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(OwnedFd::from(socket).into())
}

/// Connects to who listens at `path`, and waits `within`, more than zero, where too many wait to be
/// accepted already; so long a write may wait afterwards, too.
///
/// # Errors
/// [`ErrorKind::WouldBlock`]: nobody accepts (unix_stream_connect of net/unix/af_unix.c waits for as
/// long as SO_SNDTIMEO says, without it for ever). Else what the kernel says.
pub fn connect(path: &Path, within: Duration) -> io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_write_timeout(Some(within))?;
    socket.connect(&SockAddr::unix(path)?)?;
    Ok(OwnedFd::from(socket).into())
}

/// Removes a socket file that nobody listens at. Who may not connect cannot know, and removes
/// nothing.
fn clear(path: &Path) -> io::Result<()> {
    let there = match fs::symlink_metadata(path) {
        Ok(there) => there,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !there.file_type().is_socket() {
        return Err(io::Error::new(
            ErrorKind::AlreadyExists,
            "is there, and no socket",
        ));
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // A listener that does not accept keeps a blocking connect waiting once its queue is full.
    probe.set_nonblocking(true)?;
    match probe.connect(&SockAddr::unix(path)?) {
        Ok(()) => Err(ErrorKind::AddrInUse.into()),
        Err(error) => match error.kind() {
            ErrorKind::ConnectionRefused => fs::remove_file(path),
            ErrorKind::NotFound => Ok(()),
            ErrorKind::WouldBlock => Err(ErrorKind::AddrInUse.into()),
            _ => Err(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;
    use std::path::PathBuf;

    struct Folder(PathBuf);

    impl Folder {
        fn new(what: &str) -> Folder {
            let name = format!("snihub-unix-{what}-{}", std::process::id());
            let folder = std::env::temp_dir().join(name);
            // Left by a process of the same pid, long ago.
            drop(fs::remove_dir_all(&folder));
            fs::create_dir(&folder).unwrap();
            Folder(folder)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            drop(fs::remove_dir_all(&self.0));
        }
    }

    fn refused(path: &Path) -> ErrorKind {
        listen(path).expect_err("a listener").kind()
    }

    #[test]
    fn only_what_nobody_listens_at_is_replaced() {
        let folder = Folder::new("replaced");
        let path = folder.0.join("admin.sock");
        let first = listen(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(refused(&path), ErrorKind::AddrInUse);
        drop(first);
        assert!(path.exists(), "left behind");
        drop(listen(&path).unwrap());
        fs::remove_file(&path).unwrap();
        fs::write(&path, "precious").unwrap();
        assert_eq!(refused(&path), ErrorKind::AlreadyExists);
        fs::remove_file(&path).unwrap();
        // A link to nowhere is no socket either, and is not followed.
        std::os::unix::fs::symlink(folder.0.join("elsewhere"), &path).unwrap();
        assert_eq!(refused(&path), ErrorKind::AlreadyExists);
        assert!(!folder.0.join("elsewhere").exists());
    }

    #[test]
    fn a_listener_that_does_not_accept_keeps_nobody_waiting() {
        let folder = Folder::new("stuck");
        let path = folder.0.join("admin.sock");
        let _stuck = listen(&path).unwrap();
        // One more than the queue takes (listen(2): the kernel adds one).
        let waiting = || {
            let probe = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
            probe.set_nonblocking(true).unwrap();
            probe
                .connect(&SockAddr::unix(&path).unwrap())
                .map(|()| probe)
        };
        let queue: Vec<_> = (0..=BACKLOG).map(|_| waiting().unwrap()).collect();
        assert_eq!(waiting().unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(refused(&path), ErrorKind::AddrInUse);
        let error = connect(&path, Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        drop(queue);
    }

    #[test]
    fn a_path_is_used_to_its_last_byte() {
        let folder = Folder::new("long");
        let room = 107 - folder.0.as_os_str().len() - 1;
        let path = folder.0.join("s".repeat(room));
        let _listener = listen(&path).unwrap();
        UnixStream::connect(&path).unwrap();
        let longer = folder.0.join("s".repeat(room + 1));
        assert_eq!(refused(&longer), ErrorKind::InvalidInput);
    }
}
