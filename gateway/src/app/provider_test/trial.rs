//! One provider tried: by a call of a model, else by its listing, else by a connection alone.

use http::StatusCode;

use super::{
    listing,
    probe::{self, Call},
    request,
};
use crate::{
    control_plane::{
        catalog::{CatalogEntry, Listing, Probe},
        diagnosis::{self, Diagnosis, Trouble},
        outbound,
    },
    handoff::snapshot::{Provider, Target},
};

/// A provider that works, as far as can be told.
pub(super) struct Works {
    /// Of its answer, where it was asked something.
    pub(super) status: Option<u16>,
    pub(super) message: String,
}

/// One that does not.
pub(super) struct Failed {
    /// Of its answer, where one came.
    pub(super) status: Option<u16>,
    pub(super) diagnosis: Diagnosis,
}

impl From<Diagnosis> for Failed {
    fn from(diagnosis: Diagnosis) -> Self {
        Self {
            status: None,
            diagnosis,
        }
    }
}

/// `provider` has a target.
pub(super) async fn try_provider(
    entry: &CatalogEntry,
    provider: &Provider,
) -> Result<Works, Failed> {
    if let Some(probe) = entry.probe.as_ref().filter(|_| probe::fits(provider)) {
        return by_probe(entry, provider, probe).await;
    }
    match listing::of(entry, provider) {
        Some(listing) => by_listing(entry, provider, &listing).await,
        None => by_connection(entry, provider).await,
    }
}

async fn by_probe(
    entry: &CatalogEntry,
    provider: &Provider,
    probe: &Probe,
) -> Result<Works, Failed> {
    let call = &probe::call(probe, provider);
    let ask = |target: &Target| request::model_call(provider, target, call);
    let answer = request::first_answer(provider, ask)
        .await
        .map_err(|error| diagnosis::of_call(entry, &error))?;
    let status = answer.status;
    let (name, Call { model, .. }) = (&entry.name, call);
    let works = |message| Works {
        status: Some(status.as_u16()),
        message,
    };
    if status.is_success() {
        return Ok(works(format!("{name} takes the key; {model} answers")));
    }
    let found = diagnosis::of_answer(entry, status, &answer.headers, &answer.body);
    if call.is_empty && is_refused_body(status, &found) {
        let message = format!("{name} takes the key; no model was asked for an answer");
        return Ok(works(message));
    }
    Err(Failed {
        status: Some(status.as_u16()),
        diagnosis: Diagnosis {
            message: format!("{}; it was asked for {model}", found.message),
            ..found
        },
    })
}

/// Whoever reads the body has found the key good.
fn is_refused_body(status: StatusCode, found: &Diagnosis) -> bool {
    status == StatusCode::BAD_REQUEST && found.trouble == Trouble::NoModel
}

async fn by_listing(
    entry: &CatalogEntry,
    provider: &Provider,
    listing: &Listing,
) -> Result<Works, Failed> {
    let ask = |target: &Target| request::listing(provider, target, listing.shape, &listing.path);
    let answer = request::first_answer(provider, ask)
        .await
        .map_err(|error| diagnosis::of_call(entry, &error))?;
    let status = Some(answer.status.as_u16());
    let page = listing::read(entry, listing.shape, &answer)
        .map_err(|diagnosis| Failed { status, diagnosis })?;
    let (name, count) = (&entry.name, page.models.len());
    Ok(Works {
        status,
        message: format!("{name} answers and takes the key; it lists {count} models"),
    })
}

async fn by_connection(entry: &CatalogEntry, provider: &Provider) -> Result<Works, Failed> {
    let target = &*provider.targets[0];
    outbound::reach(target.into(), provider.timeouts.connect)
        .await
        .map_err(|error| diagnosis::of_call(entry, &error))?;
    let name = &entry.name;
    Ok(Works {
        status: None,
        message: format!("{name} can be reached; its key is tried by the first request"),
    })
}
