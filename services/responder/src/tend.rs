//! What resources need now and then, beside all requests: each driver that asks for it is called at its own pace
//! while the host is armed.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use schemas::Address;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::Driver;

/// How often the brake is looked at while it is on.
const BRAKE: Duration = Duration::from_millis(if cfg!(test) { 10 } else { 1000 });

/// Until `stop`, or until the set is dropped.
pub(crate) fn start(
    drivers: &BTreeMap<Address, Arc<dyn Driver>>,
    armed: &Path,
    stop: &CancellationToken,
) -> JoinSet<()> {
    let mut all = JoinSet::new();
    for (address, driver) in drivers {
        if let Some(every) = driver.tends() {
            let (address, driver, armed, stop) =
                (address.clone(), Arc::clone(driver), armed.to_owned(), stop.clone());
            all.spawn(async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = tend(&address, &*driver, every, &armed) => {}
                }
            });
        }
    }
    all
}

async fn tend(address: &Address, driver: &dyn Driver, every: Duration, armed: &Path) {
    let mut well = true;
    loop {
        if !armed.exists() {
            sleep(BRAKE).await;
            continue;
        }
        let done = match timeout(every, driver.tend()).await {
            Ok(done) => done.map_err(|error| error.to_string()),
            Err(_) => Err(format!("not done within {every:?}")),
        };
        // Told when it changes, not every few seconds.
        match (&done, well) {
            (Err(error), true) => tracing::warn!(resource = %address, %error, "could not be tended"),
            (Ok(()), false) => tracing::info!(resource = %address, "is tended again"),
            _ => {}
        }
        well = done.is_ok();
        sleep(every).await;
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::sync::atomic::{AtomicU32, Ordering};

    use async_trait::async_trait;
    use schemas::{Action, Epoch, GroupId, Problem, RunId, Seen, Service};
    use serde_json::Value;

    use super::*;
    use crate::{Act, DriverError, Look};

    #[derive(Default)]
    struct Counts(AtomicU32);

    #[async_trait]
    impl Driver for Counts {
        fn actions(&self) -> &[Action] {
            &[]
        }
        async fn check(&self, _: Action, _: &Value) -> Result<(), Problem> {
            Ok(())
        }
        async fn observe(&self) -> Result<Seen, DriverError> {
            Ok(Seen::Nothing(Problem::new(schemas::Code::Failed, "")))
        }
        async fn look(&self, _: Action, _: &Value) -> Look {
            Look::CannotTell(String::new())
        }
        async fn act(&self, _: &Act) -> Result<Value, DriverError> {
            Ok(Value::Null)
        }
        async fn end_earlier(&self, _: Duration) -> Result<(), DriverError> {
            Ok(())
        }
        async fn raise_epoch(&self, _: &GroupId, _: Epoch, _: RunId) -> Result<(), DriverError> {
            Ok(())
        }
        fn tends(&self) -> Option<Duration> {
            Some(Duration::from_millis(10))
        }
        async fn tend(&self) -> Result<(), DriverError> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
    }

    /// On one thread: between the look at the brake and the call nothing else runs.
    #[tokio::test]
    async fn only_an_armed_host_is_tended() {
        let folder = tempfile::tempdir().unwrap();
        let armed = folder.path().join("armed");
        let address = Address {
            site: "main".parse().unwrap(),
            service: Service::Replication,
            resource: "csp".parse().unwrap(),
        };
        let counts = Arc::new(Counts::default());
        let drivers: BTreeMap<Address, Arc<dyn Driver>> = [(address, Arc::clone(&counts) as _)].into();
        let stop = CancellationToken::new();
        let mut all = start(&drivers, &armed, &stop);
        let times = || counts.0.load(Ordering::Relaxed);
        sleep(Duration::from_millis(200)).await;
        assert_eq!(times(), 0, "the brake is on");
        std::fs::write(&armed, "").unwrap();
        for _ in 0..3000 {
            if times() >= 3 {
                break;
            }
            sleep(Duration::from_millis(10)).await;
        }
        assert!(times() >= 3, "{}", times());
        std::fs::remove_file(&armed).unwrap();
        let before = times();
        sleep(Duration::from_millis(200)).await;
        assert_eq!(times(), before, "the brake is on again");
        stop.cancel();
        while all.join_next().await.is_some() {}
    }
}
