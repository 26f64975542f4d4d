//! The few edits of a held JSON body, as splices: every other byte reaches the provider as it was sent.

use super::{
    body::RequestBody,
    inject::{group_names, request_metadata, user},
};
use crate::{
    dialect::{
        BodyIdentity, Classified, Dialect, IdentityFormat, Operation,
        json::{
            Splice, include_usage_splice, output_bound_splice, request_metadata_splice,
            tags_splice, user_splice,
        },
        output::OutputBound,
    },
    policy::Permit,
};

/// Edits of one request body.
#[derive(Default)]
pub struct Edits {
    /// Sorted, never overlapping.
    pub splices: Vec<Splice>,
    /// The usage chunk is asked for on the agent's behalf: it shall not see it.
    pub hide_usage_chunk: bool,
    /// The caller is told in the body, and in no header beside it.
    pub identity_in_body: bool,
}

/// What must change in `body` for this provider. `output_bound` is what a limit or a guardrail allows, where the agent
/// set no bound.
pub fn edits(
    permit: &Permit<'_>,
    body: &RequestBody,
    classified: &Classified<'_>,
    output_bound: Option<OutputBound>,
) -> Edits {
    let operation = classified.operation;
    let Some((bytes, scanned)) = body.scanned() else {
        return Edits::default();
    };
    let mut edits = Edits::default();
    if let Some(bound) = output_bound {
        edits.splices.extend(output_bound_splice(scanned, bound));
    }
    if operation.has_request_metadata() {
        edits.identity_in_body = true;
        let own = request_metadata(permit.route());
        edits
            .splices
            .extend(request_metadata_splice(scanned, bytes, &own));
    }
    let dialect = classified.dialect.of_bodies(operation);
    if dialect == Dialect::OpenAi
        && permit.provider().asks_for_usage
        && !classified.is_mistral_at_vertex()
        && matches!(
            operation,
            Operation::ChatCompletions | Operation::Completions
        )
        && let Some(splice) = include_usage_splice(scanned)
    {
        edits.splices.push(splice);
        edits.hide_usage_chunk = true;
    }
    let identity = match &permit.provider().identity {
        Some(IdentityFormat::HeaderPair { body, .. } | IdentityFormat::Body(body)) => *body,
        Some(IdentityFormat::JsonHeader { .. }) | None => BodyIdentity::default(),
    };
    // Anthropic's bodies have no place for either.
    if dialect == Dialect::OpenAi {
        if identity.user {
            edits
                .splices
                .extend(user_splice(scanned, user(permit.principal())));
        }
        if identity.tags {
            let groups: Vec<&str> = group_names(permit.route()).collect();
            edits.splices.extend(tags_splice(scanned, &groups));
        }
    }
    edits.splices.sort_by_key(|splice| splice.range.start);
    edits
}
