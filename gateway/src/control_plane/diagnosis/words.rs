//! The vendors' words for what went wrong, and what they mean.

use super::Trouble::{
    self, ApiDisabled, BadKey, Clock, NoAccess, NoCredit, NoModel, RateLimited, VendorError,
    WrongPath, WrongRegion,
};

/// One meaning of a word.
#[derive(Debug)]
pub(super) struct Meaning {
    pub(super) word: &'static str,
    /// Stands in the message with it, where the word alone has several meanings.
    phrase: &'static str,
    pub(super) trouble: Trouble,
    /// What to do, where it is not what the trouble's name and the catalog say; else empty.
    pub(super) remedy: &'static str,
}

/// The meaning of the first row whose word is among `words` and whose phrase is in one of `messages`.
pub(super) fn meaning(words: &[&str], messages: &[&str]) -> Option<&'static Meaning> {
    MEANINGS.iter().find(|meaning| {
        let is_told = |message: &&str| message.contains(meaning.phrase);
        words.contains(&meaning.word) && (meaning.phrase.is_empty() || messages.iter().any(is_told))
    })
}

/// The meaning of a refusal of Google's token endpoint, `{error}: {description}`.
pub(super) fn of_grant(reason: &str) -> Option<&'static Meaning> {
    let (word, message) = reason.split_once(": ").unwrap_or((reason, ""));
    meaning(&[word], &[message])
}

const fn word(word: &'static str, trouble: Trouble) -> Meaning {
    phrase(word, "", trouble, "")
}

const fn phrase(
    word: &'static str,
    phrase: &'static str,
    trouble: Trouble,
    remedy: &'static str,
) -> Meaning {
    Meaning {
        word,
        phrase,
        trouble,
        remedy,
    }
}

const SET_THE_CLOCK: &str = "Set this machine's clock (timedatectl)";
const OTHER_ACCESS_KEY: &str = "AWS knows no such access key: look whether its id is right and active, and for \
    temporary keys (ASIA…) whether the session token is theirs";
const OTHER_SECRET: &str =
    "The secret access key does not fit the access key id, or the session token is missing";
const NEW_SESSION: &str =
    "Temporary keys have ended: give new ones, or access keys or a Bedrock API key that last";
const IAM_POLICY: &str = "Allow bedrock:InvokeModel and bedrock:InvokeModelWithResponseStream (to list: \
    bedrock:ListFoundationModels and ListInferenceProfiles) to the key's user or role in IAM; an organization's or \
    a VPC endpoint's policy may stand against it too";
const OPEN_THE_MODEL: &str =
    "Open the model in this region (Bedrock console, Model access), or connect another region";
const SIGNED_REGION: &str =
    "The region in the key (iam@<region>::…) is not the one that the URL's host serves";
const PROFILE: &str =
    "Name an inference profile of it, such as us.<model id>; `keyway providers models` lists them";
const USER_PROJECT: &str = "Give the service account the role Service Usage Consumer in the project of \
    x-goog-user-project, or take that header away";
const LOCATION: &str = "Choose another location (the URL's host), or another model; some have to be enabled in \
    Model Garden first";
const NEW_KEY_FILE: &str = "The key was deleted or disabled, or its file is damaged: make a new one (IAM, Service accounts, Keys)";
const NEW_ACCOUNT: &str = "The service account was deleted, or is of another project: make a new one with the role Vertex AI User";

/// The telling ones first: of several that an answer holds, the first row counts.
const MEANINGS: &[Meaning] = &[
    // Google
    word("SERVICE_DISABLED", ApiDisabled),
    word("API_KEY_INVALID", BadKey),
    word("API_KEY_SERVICE_BLOCKED", NoAccess),
    word("ACCESS_TOKEN_EXPIRED", BadKey),
    word("BILLING_DISABLED", NoCredit),
    phrase("USER_PROJECT_DENIED", "", NoAccess, USER_PROJECT),
    word("UNAUTHENTICATED", BadKey),
    phrase(
        "PERMISSION_DENIED",
        "API has not been used",
        ApiDisabled,
        "",
    ),
    word("PERMISSION_DENIED", NoAccess),
    word("RESOURCE_EXHAUSTED", RateLimited),
    phrase("NOT_FOUND", "", NoModel, LOCATION),
    phrase(
        "FAILED_PRECONDITION",
        "ocation is not supported",
        WrongRegion,
        "",
    ),
    // Google's token endpoint
    phrase("invalid_grant", "short-lived token", Clock, SET_THE_CLOCK),
    phrase("invalid_grant", "account not found", BadKey, NEW_ACCOUNT),
    phrase("invalid_grant", "", BadKey, NEW_KEY_FILE),
    phrase("invalid_client", "", BadKey, NEW_ACCOUNT),
    // AWS
    phrase("UnrecognizedClientException", "", BadKey, OTHER_ACCESS_KEY),
    phrase("InvalidClientTokenId", "", BadKey, OTHER_ACCESS_KEY),
    phrase(
        "InvalidSignatureException",
        "Signature expired",
        Clock,
        SET_THE_CLOCK,
    ),
    phrase(
        "InvalidSignatureException",
        "Signature not yet current",
        Clock,
        SET_THE_CLOCK,
    ),
    phrase(
        "InvalidSignatureException",
        "valid region",
        WrongRegion,
        SIGNED_REGION,
    ),
    phrase("InvalidSignatureException", "", BadKey, OTHER_SECRET),
    phrase(
        "SignatureDoesNotMatch",
        "valid region",
        WrongRegion,
        SIGNED_REGION,
    ),
    phrase("SignatureDoesNotMatch", "", BadKey, OTHER_SECRET),
    word("IncompleteSignatureException", BadKey),
    word("MissingAuthenticationTokenException", BadKey),
    phrase("ExpiredTokenException", "", BadKey, NEW_SESSION),
    phrase("ExpiredToken", "", BadKey, NEW_SESSION),
    phrase("AccessDeniedException", "API Key is valid", BadKey, ""),
    phrase(
        "AccessDeniedException",
        "is not authorized to perform",
        NoAccess,
        IAM_POLICY,
    ),
    phrase(
        "AccessDeniedException",
        "access to the model",
        NoAccess,
        OPEN_THE_MODEL,
    ),
    word("AccessDeniedException", NoAccess),
    word("ThrottlingException", RateLimited),
    word("ServiceQuotaExceededException", RateLimited),
    phrase(
        "ValidationException",
        "on-demand throughput",
        NoModel,
        PROFILE,
    ),
    phrase("ResourceNotFoundException", "", NoModel, OPEN_THE_MODEL),
    word("ValidationException", NoModel),
    word("UnknownOperationException", WrongPath),
    // OpenAI, and what follows its shape
    word("invalid_api_key", BadKey),
    word("account_deactivated", BadKey),
    word("insufficient_quota", NoCredit),
    word("billing_hard_limit_reached", NoCredit),
    word("billing_not_active", NoCredit),
    word("unsupported_country_region_territory", WrongRegion),
    word("insufficient_permissions", NoAccess),
    word("model_not_found", NoAccess),
    word("rate_limit_exceeded", RateLimited),
    // Anthropic
    word("authentication_error", BadKey),
    word("billing_error", NoCredit),
    word("permission_error", NoAccess),
    word("rate_limit_error", RateLimited),
    word("overloaded_error", VendorError),
    // Azure
    word("DeploymentNotFound", NoAccess),
    word("PermissionDenied", NoAccess),
    word("AuthenticationTypeDisabled", BadKey),
    // Kimi
    word("invalid_authentication_error", BadKey),
    word("exceeded_current_quota_error", NoCredit),
    word("permission_denied_error", NoAccess),
    // LiteLLM
    word("token_not_found_in_db", BadKey),
    word("expired_key", BadKey),
    word("auth_error", BadKey),
    word("budget_exceeded", NoCredit),
    word("key_model_access_denied", NoAccess),
];
