//! A wire between two processes, which can be cut. In: connections, and how the wire is. Out: the same bytes at the other end.
//! Refuses: connections while it is cut. Promises: what was accepted is passed on whole and in order, or the connection ends.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How a wire is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Bytes pass.
    Whole,
    /// Connections end, and new ones at once too.
    Cut,
    /// Connections stay and new ones are taken, and nothing passes: the other side's machine lost its power.
    Silent,
    /// Each piece passes after this long.
    Slow(Duration),
}

/// A piece of what passes.
const PIECE_BYTES: usize = 16 << 10;

/// A wire from a port of its own to another.
pub struct Wire {
    port: u16,
    state: watch::Sender<State>,
}

impl Wire {
    /// Lays it from a free port to `target`. It lies as long as the runtime runs.
    pub async fn lay(target: u16) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let (state, watched) = watch::channel(State::Whole);
        tokio::spawn(accept(listener, target, watched));
        Ok(Self { port, state })
    }

    /// Where it begins.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on it is so.
    pub fn set(&self, state: State) {
        // Fails only when the task that accepts is gone, with the runtime.
        let _ = self.state.send(state);
    }
}

async fn accept(listener: TcpListener, target: u16, state: watch::Receiver<State>) {
    while let Ok((near, _)) = listener.accept().await {
        let state = state.clone();
        tokio::spawn(async move {
            if *state.borrow() == State::Cut {
                return;
            }
            let Ok(far) = TcpStream::connect(("127.0.0.1", target)).await else { return };
            let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
            // Either end takes the other with it, as a cut does.
            tokio::select! {
                _ = pass(near_in, far_out, state.clone()) => {}
                _ = pass(far_in, near_out, state) => {}
            }
        });
    }
}

/// Passes bytes on until either side ends or the wire is cut.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut state: watch::Receiver<State>,
) -> io::Result<()> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let count = tokio::select! {
            read = from.read(&mut piece) => read?,
            () = cut(state.clone()) => return Ok(()),
        };
        if count == 0 {
            return Ok(());
        }
        loop {
            let now = *state.borrow_and_update();
            match now {
                State::Whole => break,
                State::Cut => return Ok(()),
                State::Silent => {
                    if state.changed().await.is_err() {
                        return Ok(());
                    }
                }
                State::Slow(delay) => {
                    tokio::time::sleep(delay).await;
                    break;
                }
            }
        }
        to.write_all(&piece[..count]).await?;
    }
}

async fn cut(mut state: watch::Receiver<State>) {
    // An error: the wire's owner is gone, and the wire with it.
    let _ = state.wait_for(|state| *state == State::Cut).await;
}
