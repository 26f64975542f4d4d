//! Tries providers for the operator, and lists their models: the address, the certificate and the key that
//! workers use, or would use. What comes back is told by `control_plane::diagnosis`.

mod request;

use std::{sync::Arc, time::Instant};

use tokio::sync::watch;

use crate::{
    control_plane::{
        api::state::{ProviderTester, Task, TestReport},
        catalog::{CatalogEntry, LiveCatalog},
        diagnosis::{self, Diagnosis, Trouble},
        discovery::{self, ListedModel, PAGES_LIMIT, Page},
        outbound::{self, Answer, CallError, Destination},
        resolve::Lookup,
        snapshot::{Draft, Problem, ProviderState, SnapshotReport, compile_draft},
    },
    handoff::snapshot::{Provider, Target, Timeouts},
};

pub(super) struct UpstreamTester {
    pub(super) reports: watch::Receiver<Arc<SnapshotReport>>,
    pub(super) catalog: Arc<LiveCatalog>,
    pub(super) lookup: Lookup,
    pub(super) timeouts: watch::Receiver<Timeouts>,
}

/// A provider that works, as far as can be told.
struct Works {
    /// Of its answer, where it was asked something.
    status: Option<u16>,
    message: String,
}

impl ProviderTester for UpstreamTester {
    fn test(&self, provider_id: String) -> Task<'_, TestReport> {
        let report = Arc::clone(&self.reports.borrow());
        Box::pin(async move {
            let begun = Instant::now();
            let tried = match self.stored(&report, &provider_id) {
                Ok((entry, provider)) => try_provider(&entry, provider).await,
                Err(diagnosis) => Err((None, diagnosis)),
            };
            told(begun, tried)
        })
    }

    fn test_draft(&self, draft: Draft) -> Task<'_, TestReport> {
        Box::pin(async move {
            let begun = Instant::now();
            let tried = match self.compiled(draft).await {
                Ok((entry, provider)) => try_provider(&entry, &provider).await,
                Err(diagnosis) => Err((None, diagnosis)),
            };
            told(begun, tried)
        })
    }

    fn list_models(&self, draft: Draft) -> Task<'_, Result<Vec<ListedModel>, Diagnosis>> {
        Box::pin(async move {
            let (entry, provider) = self.compiled(draft).await?;
            list_models(&entry, &provider).await
        })
    }
}

impl UpstreamTester {
    /// As the workers have it.
    fn stored<'a>(
        &self,
        report: &'a SnapshotReport,
        provider_id: &str,
    ) -> Result<(Arc<CatalogEntry>, &'a Provider), Diagnosis> {
        let served = report.snapshot.providers.iter();
        let mut served = served.filter(|provider| *provider.id == *provider_id);
        let provider = served.next();
        if let Some(provider) = provider
            && !provider.targets.is_empty()
        {
            return Ok((self.entry(&provider.catalog_id)?, provider));
        }
        let mut statuses = report.providers.iter();
        let status = statuses.find(|status| status.id == provider_id);
        Err(match status.map(|status| &status.state) {
            Some(ProviderState::Unreachable(problem) | ProviderState::Skipped(problem)) => {
                match provider.map(|provider| self.entry(&provider.catalog_id)) {
                    Some(Ok(entry)) => diagnosis::of_problem(&entry, problem),
                    Some(Err(_)) | None => settings(&problem.to_string()),
                }
            }
            Some(ProviderState::Disabled) => settings("it is disabled"),
            Some(ProviderState::Ready { .. }) | None => settings("the workers do not know it yet"),
        })
    }

    async fn compiled(&self, draft: Draft) -> Result<(Arc<CatalogEntry>, Provider), Diagnosis> {
        let entry = self.entry(&draft.doc.provider_id)?;
        let timeouts = *self.timeouts.borrow();
        match compile_draft(draft, &self.catalog.current(), &self.lookup, timeouts).await {
            Ok(provider) => Ok((entry, provider)),
            Err(problem) => Err(diagnosis::of_problem(&entry, &problem)),
        }
    }

    fn entry(&self, id: &str) -> Result<Arc<CatalogEntry>, Diagnosis> {
        let entry = self.catalog.current().entry(id).cloned();
        entry.ok_or_else(|| settings(&Problem::UnknownKind(id.to_owned()).to_string()))
    }
}

fn settings(message: &str) -> Diagnosis {
    Diagnosis {
        trouble: Trouble::Settings,
        message: message.to_owned(),
        remedy: String::new(),
    }
}

type Tried = Result<Works, (Option<u16>, Diagnosis)>;

fn told(begun: Instant, tried: Tried) -> TestReport {
    let duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    match tried {
        Ok(works) => TestReport {
            ok: true,
            status: works.status,
            duration_ms,
            message: works.message,
            ..TestReport::default()
        },
        Err((status, diagnosis)) => TestReport {
            ok: false,
            status,
            duration_ms,
            message: diagnosis.message,
            problem: Some(diagnosis.trouble.code().to_owned()),
            remedy: diagnosis.remedy,
        },
    }
}

async fn try_provider(entry: &CatalogEntry, provider: &Provider) -> Tried {
    let unanswered = |error| (None, diagnosis::of_call(entry, &error));
    let name = &entry.name;
    if let Some(listing) = &entry.listing {
        let ask = |target: &Target| request::listing(provider, target, listing, listing.query());
        let answer = first_answer(provider, ask).await.map_err(unanswered)?;
        let status = Some(answer.status.as_u16());
        let page = read(entry, &answer).map_err(|diagnosis| (status, diagnosis))?;
        let count = page.models.len();
        return Ok(Works {
            status,
            message: format!("{name} answers and takes the key; it lists {count} models"),
        });
    }
    if let Some(probe) = &entry.probe {
        let ask = |target: &Target| request::probe(provider, target, probe);
        let answer = first_answer(provider, ask).await.map_err(unanswered)?;
        let status = answer.status;
        if !status.is_success() && status.as_u16() != probe.passes {
            let found = diagnosis::of_answer(entry, status, &answer.headers, &answer.body);
            return Err((Some(status.as_u16()), found));
        }
        return Ok(Works {
            status: Some(status.as_u16()),
            message: format!("{name} answers and takes the key (tried with an empty request)"),
        });
    }
    let target = &provider.targets[0];
    outbound::reach((&**target).into(), provider.timeouts.connect)
        .await
        .map_err(unanswered)?;
    Ok(Works {
        status: None,
        message: format!("{name} can be reached; its key is tried by the first request"),
    })
}

async fn list_models(
    entry: &CatalogEntry,
    provider: &Provider,
) -> Result<Vec<ListedModel>, Diagnosis> {
    let Some(listing) = &entry.listing else {
        return Err(settings("its models cannot be listed"));
    };
    let mut models = Vec::new();
    let mut query = listing.query().to_owned();
    for _ in 0..PAGES_LIMIT {
        let ask = |target: &Target| request::listing(provider, target, listing, &query);
        let answer = first_answer(provider, ask)
            .await
            .map_err(|error| diagnosis::of_call(entry, &error))?;
        let page = read(entry, &answer)?;
        models.extend(page.models);
        let Some((parameter, value)) = page.next else {
            break;
        };
        query = request::next_page(listing.query(), parameter, &value);
    }
    Ok(models)
}

fn read(entry: &CatalogEntry, answer: &Answer) -> Result<Page, Diagnosis> {
    if !answer.status.is_success() {
        return Err(diagnosis::of_answer(
            entry,
            answer.status,
            &answer.headers,
            &answer.body,
        ));
    }
    let shape = entry.listing.as_ref().map(|listing| listing.shape);
    let page = shape.and_then(|shape| discovery::read(shape, &answer.body));
    page.ok_or_else(|| diagnosis::no_listing(entry))
}

/// The answer of the first target that can be connected to, as workers would go on to the next one.
async fn first_answer(
    provider: &Provider,
    ask: impl Fn(&Target) -> request::Outgoing,
) -> Result<Answer, CallError> {
    let mut last = None;
    for target in &provider.targets {
        let destination = Destination::from(&**target);
        match outbound::call(destination, provider.timeouts.connect, ask(target)?).await {
            Err(error) if error.is_of_address() => last = Some(error),
            called => return called,
        }
    }
    Err(last.expect("a provider that is tried has a target"))
}
