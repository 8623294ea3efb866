//! What a service tells everybody beside all requests: CloudEvents on the subject of incoming events.

use async_nats::Client;
use schemas::{Address, CloudEvent, KindId, Prefix};
use serde_json::Value;
use tokio::runtime::Handle;
use uuid::Uuid;

/// Tells it on the bus; while that is away, an event waits in the client.
#[derive(Clone, Debug)]
pub struct Herald {
    client: Client,
    prefix: Prefix,
    host: String,
    runtime: Handle,
}

impl Herald {
    /// Within a runtime; events leave by it.
    #[must_use]
    pub fn new(client: Client, prefix: Prefix, host: &str) -> Herald {
        Herald { client, prefix, host: host.to_owned(), runtime: Handle::current() }
    }

    /// Says it once, of one resource: `kind` is the last token of the subject, `name` the event's type. It returns at
    /// once, from any thread; what could not be sent is logged.
    pub fn say(&self, of: &Address, kind: &str, name: &str, data: Value) {
        let Ok(kind) = KindId::new(kind) else { return };
        let source = format!("/pointsman/{}/{}", of.site, self.host);
        let mut event = CloudEvent::new(Uuid::now_v7().to_string(), source, name, chrono::Utc::now(), data);
        event.subject = Some(of.to_string());
        let (client, subject) = (self.client.clone(), self.prefix.event_in(&of.site, &kind));
        self.runtime.spawn(async move {
            let mut headers = async_nats::HeaderMap::new();
            headers.insert("content-type", "application/cloudevents+json");
            let Ok(body) = serde_json::to_vec(&event) else { return };
            if let Err(error) = client.publish_with_headers(subject, headers, body.into()).await {
                tracing::error!(%error, "the event could not be sent");
            }
        });
    }
}
