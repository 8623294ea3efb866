//! A process that was stopped and came back within its `settle` is told to everybody: as an event on the bus, beside
//! the line that the driver logs.

use std::sync::Arc;

use async_nats::Client;
use process::Returned;
use schemas::event::PROCESS_RETURNED;
use schemas::{Address, CloudEvent, KindId, Prefix, Service, SiteId};
use serde_json::json;
use tokio::runtime::Handle;
use uuid::Uuid;

/// Who is told.
#[derive(Clone, Default)]
pub struct Tell(Option<Arc<Bus>>);

struct Bus {
    client: Client,
    prefix: Prefix,
    site: SiteId,
    host: String,
    runtime: Handle,
}

impl Tell {
    /// The bus; while it is away the event waits in the client.
    pub(crate) fn on(client: Client, prefix: Prefix, site: SiteId, host: &str) -> Tell {
        let host = host.to_owned();
        Tell(Some(Arc::new(Bus { client, prefix, site, host, runtime: Handle::current() })))
    }

    /// Says it once. Without a bus only the log has it, where the driver has said it.
    pub(crate) fn say(&self, returned: &Returned) {
        let Some(bus) = self.0.clone() else { return };
        let Ok(kind) = KindId::new("process-returned") else { return };
        let resource = returned.resource.clone();
        let address = Address { site: bus.site.clone(), service: Service::Process, resource };
        let mut event = CloudEvent::new(
            Uuid::now_v7().to_string(),
            format!("/pointsman/{}/{}", bus.site, bus.host),
            PROCESS_RETURNED,
            chrono::Utc::now(),
            json!({
                "site": bus.site,
                "resource": returned.resource,
                "afterMs": u64::try_from(returned.after.as_millis()).unwrap_or(u64::MAX),
                "found": returned.found,
            }),
        );
        event.subject = Some(address.to_string());
        let subject = bus.prefix.event_in(&bus.site, &kind);
        bus.runtime.clone().spawn(async move {
            let mut headers = async_nats::HeaderMap::new();
            headers.insert("content-type", "application/cloudevents+json");
            let Ok(body) = serde_json::to_vec(&event) else { return };
            if let Err(error) = bus.client.publish_with_headers(subject, headers, body.into()).await {
                tracing::error!(%error, "the event could not be sent");
            }
        });
    }
}
