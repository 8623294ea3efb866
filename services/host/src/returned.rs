//! A process that was stopped and came back within its `settle` is told to everybody: as an event on the bus, beside
//! the line that the driver logs.

use process::Returned;
use responder::Herald;
use schemas::event::PROCESS_RETURNED;
use schemas::{Address, Service, SiteId};
use serde_json::json;

/// Who is told.
#[derive(Clone, Default)]
pub struct Tell(Option<(Herald, SiteId)>);

impl Tell {
    /// The bus.
    pub(crate) fn on(herald: Herald, site: SiteId) -> Tell {
        Tell(Some((herald, site)))
    }

    /// Says it once. Without a bus only the log has it, where the driver has said it.
    pub(crate) fn say(&self, returned: &Returned) {
        let Some((herald, site)) = &self.0 else { return };
        let (site, resource) = (site.clone(), returned.resource.clone());
        let data = json!({
            "site": site,
            "resource": resource,
            "afterMs": u64::try_from(returned.after.as_millis()).unwrap_or(u64::MAX),
            "found": returned.found,
        });
        let of = Address { site, service: Service::Process, resource };
        herald.say(&of, "process-returned", PROCESS_RETURNED, data);
    }
}
