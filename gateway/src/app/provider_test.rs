//! Tries providers for the operator, and lists their models: the address, the certificate and the key that
//! workers use, or would use. What comes back is told by `control_plane::diagnosis`.

mod listing;
mod probe;
mod request;
mod trial;

use std::{sync::Arc, time::Instant};

use tokio::sync::watch;

use crate::{
    control_plane::{
        api::state::{ProviderTester, Task, TestReport},
        catalog::{CatalogEntry, LiveCatalog},
        diagnosis::{self, Diagnosis, Trouble},
        discovery::{ListedModel, listing_url},
        resolve::Lookup,
        snapshot::{Draft, Problem, ProviderState, SnapshotReport, compile_draft},
    },
    handoff::snapshot::{Provider, Timeouts},
};
use trial::{Failed, Works, try_provider};

pub(super) struct UpstreamTester {
    pub(super) reports: watch::Receiver<Arc<SnapshotReport>>,
    pub(super) catalog: Arc<LiveCatalog>,
    pub(super) lookup: Lookup,
    pub(super) timeouts: watch::Receiver<Timeouts>,
}

impl ProviderTester for UpstreamTester {
    fn test(&self, provider_id: String) -> Task<'_, TestReport> {
        let report = Arc::clone(&self.reports.borrow());
        Box::pin(async move {
            let begun = Instant::now();
            let tried = match self.stored(&report, &provider_id) {
                Ok((entry, provider)) => try_provider(&entry, provider).await,
                Err(diagnosis) => Err(diagnosis.into()),
            };
            told(begun, tried)
        })
    }

    fn test_draft(&self, draft: Draft) -> Task<'_, TestReport> {
        Box::pin(async move {
            let begun = Instant::now();
            let tried = match self.compiled(draft).await {
                Ok((entry, provider)) => try_provider(&entry, &provider).await,
                Err(diagnosis) => Err(diagnosis.into()),
            };
            told(begun, tried)
        })
    }

    fn list_models(&self, mut draft: Draft) -> Task<'_, Result<Vec<ListedModel>, Diagnosis>> {
        Box::pin(async move {
            let entry = self.entry(&draft.doc.provider_id)?;
            if let Some(url) = listing_url(&entry, &draft.doc.upstream_url) {
                draft.doc.upstream_url = url;
            }
            let (entry, provider) = self.compiled(draft).await?;
            listing::whole(&entry, &provider).await
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

fn told(begun: Instant, tried: Result<Works, Failed>) -> TestReport {
    let duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    match tried {
        Ok(works) => TestReport {
            ok: true,
            status: works.status,
            duration_ms,
            message: works.message,
            ..TestReport::default()
        },
        Err(Failed { status, diagnosis }) => TestReport {
            ok: false,
            status,
            duration_ms,
            message: diagnosis.message,
            problem: Some(diagnosis.trouble.code().to_owned()),
            remedy: diagnosis.remedy,
        },
    }
}
