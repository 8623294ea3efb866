//! What the runner says of its own preconditions: by what it is known on the bus, and until when.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use runner_core::Input;
use schemas::CheckLine;
use tokio::sync::mpsc::Sender;
use tokio_util::sync::CancellationToken;

/// Looks at the runner's own preconditions, within a bound of its own.
pub type OwnLines = Arc<dyn Fn() -> BoxFuture<'static, Vec<CheckLine>> + Send + Sync>;

/// Beside the loop, at once and then every so often.
pub(crate) async fn look(own: OwnLines, every: Duration, inputs: Sender<Input>, stop: CancellationToken) {
    loop {
        // Fails only when the shell is gone.
        if inputs.send(Input::OwnLines(own().await)).await.is_err() {
            return;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(every) => {}
        }
    }
}
