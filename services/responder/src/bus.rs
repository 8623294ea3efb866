//! The bus: one micro service (ADR-32) for each kind of service, and the question to the runner.

use std::time::Duration;

use async_nats::Client;
use async_nats::service::ServiceExt;
use async_nats::service::endpoint::Endpoint;
use futures_util::StreamExt;
use schemas::{Address, Code, ConfirmReply, ConfirmRequest, Problem, Service};
use service_core::Input;
use tokio::runtime::Handle;
use tokio::sync::mpsc::Sender;
use tokio_util::sync::CancellationToken;

use crate::answers::{Answers, Asker};
use crate::{ServeError, ServeOptions};

/// How long a stop listens for requests that had been delivered already.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// Registers the resources: afterwards the server knows every subscription, if it is connected.
pub(crate) async fn register(
    options: &ServeOptions,
    addresses: &[Address],
    asked: &Sender<Asker>,
    answers: &Answers,
    stop: &CancellationToken,
) -> Result<(), ServeError> {
    for service in Service::ALL.iter().copied() {
        let own: Vec<&Address> = addresses.iter().filter(|a| a.service == service).collect();
        if own.is_empty() {
            continue;
        }
        let failed = |source| ServeError::Bus { service, source };
        let metadata = [("site", options.site.to_string()), ("host", options.host.clone())];
        let counted = answers.clone();
        let running = options
            .client
            .service_builder()
            .description(format!("Pointsman {service} at {}", options.site))
            .metadata(metadata.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
            .stats_handler(move |endpoint, _| counted.problems(&endpoint))
            .start(format!("pointsman-{service}"), &options.version)
            .await
            .map_err(failed)?;
        for address in own {
            let name = format!("{}-{}", address.site, address.resource);
            let subject = options.prefix.requests(address);
            let endpoint = running.endpoint_builder().name(&name).add(subject).await.map_err(failed)?;
            tokio::spawn(listen(endpoint, name.into(), asked.clone(), stop.clone()));
        }
        let stop = stop.clone();
        tokio::spawn(async move {
            stop.cancelled().await;
            // Discovery ends with the subscriptions.
            let _ = running.stop().await;
        });
    }
    let _ = tokio::time::timeout(Duration::from_secs(2), options.client.flush()).await;
    Ok(())
}

async fn listen(
    mut endpoint: Endpoint,
    name: std::sync::Arc<str>,
    asked: Sender<Asker>,
    stop: CancellationToken,
) {
    loop {
        let request = tokio::select! {
            () = stop.cancelled() => break,
            request = endpoint.next() => request,
        };
        let Some(request) = request else { break };
        if asked.send(Asker { endpoint: name.clone(), request }).await.is_err() {
            break;
        }
    }
    // Whoever asks from now on hears at once that nobody is there; who asked before is told so.
    let _ = endpoint.stop().await;
    while let Ok(Some(request)) = tokio::time::timeout(LAST_WORDS, endpoint.next()).await {
        if asked.send(Asker { endpoint: name.clone(), request }).await.is_err() {
            return;
        }
    }
}

/// Who says whether an opening may go on.
pub(crate) struct Runner {
    pub(crate) client: Client,
    pub(crate) subject: String,
    pub(crate) inputs: Sender<Input>,
}

impl Runner {
    /// Asks; yes, no or silence comes back as an input.
    pub(crate) fn ask(&self, runtime: &Handle, request: ConfirmRequest, within: Duration) {
        let (client, subject, inputs) = (self.client.clone(), self.subject.clone(), self.inputs.clone());
        runtime.spawn(async move {
            let nonce = request.nonce;
            let yes = match ask_runner(&client, subject, &request, within).await {
                Heard::Yes => Ok(()),
                Heard::No(problem) => Err(problem),
                Heard::Nothing(why) => Err(Problem::new(Code::NotConfirmed, why)),
            };
            // Fails only when the service is gone.
            let _ = inputs.send(Input::Confirmed { nonce, yes }).await;
        });
    }
}

/// What the runner says.
pub(crate) enum Heard {
    Yes,
    No(Problem),
    /// Neither; why.
    Nothing(String),
}

/// Asks for a yes.
pub(crate) async fn ask_runner(
    client: &Client,
    subject: String,
    request: &ConfirmRequest,
    within: Duration,
) -> Heard {
    let asked = async {
        let body = serde_json::to_vec(request).map_err(|e| e.to_string())?;
        let message = async_nats::Request::new().payload(body.into()).timeout(Some(within));
        let asked = tokio::time::timeout(within, client.send_request(subject, message)).await;
        let reply = asked.map_err(|_| "the runner is silent".to_owned())?;
        let reply = reply.map_err(|e| format!("the runner: {e}"))?;
        serde_json::from_slice::<ConfirmReply>(&reply.payload).map_err(|e| e.to_string())
    };
    match asked.await {
        Ok(reply) if reply.nonce != request.nonce => {
            Heard::Nothing("the runner answered something else".into())
        }
        Ok(ConfirmReply { yes: true, .. }) => Heard::Yes,
        Ok(ConfirmReply { problem, .. }) => {
            Heard::No(problem.unwrap_or_else(|| Problem::new(Code::NotConfirmed, "the runner said no")))
        }
        Err(why) => Heard::Nothing(why),
    }
}
