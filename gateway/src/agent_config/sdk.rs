//! SDKs and curl: what goes into the environment, and the first lines of code.

use serde_json::json;

use super::{
    Place, Via,
    setup::{Language, Setup},
};

/// The SDKs refuse to work without any key.
const KEY_NOTE: &str = "Environment. The SDK insists on a key; this one is removed on the way.";
const PYTHON_CA_NOTE: &str = "Python's clients trust only what is in this file. If the program calls other \
    hosts too, put the\nsystem's roots in it as well (/etc/ssl/certs/ca-certificates.crt).";

impl Place {
    pub(super) fn openai(&self) -> Setup {
        let model = &self.model;
        self.python_ca(Setup::default().environment(
            KEY_NOTE,
            [
                ("OPENAI_BASE_URL", format!("{}/v1", self.url)),
                ("OPENAI_API_KEY", "not-needed".to_owned()),
            ]
            .into_iter()
            .chain(self.node_ca()),
        ))
        .code(
            Language::Python,
            "Python",
            format!(
                "from openai import OpenAI\n\
                 client = OpenAI()\n\
                 answer = client.responses.create(model=\"{model}\", input=\"Hello\")\n\
                 print(answer.output_text)\n"
            ),
        )
        .code(
            Language::JavaScript,
            "Node.js",
            format!(
                "import OpenAI from \"openai\";\n\
                 const client = new OpenAI();\n\
                 const answer = await client.responses.create({{ model: \"{model}\", input: \"Hello\" }});\n\
                 console.log(answer.output_text);\n"
            ),
        )
    }

    pub(super) fn anthropic(&self, via: Via) -> Setup {
        let (variables, python, package, node) = match via {
            Via::Bedrock => (
                vec![
                    (
                        "ANTHROPIC_BEDROCK_BASE_URL",
                        format!("{}/bedrock", self.url),
                    ),
                    ("AWS_BEARER_TOKEN_BEDROCK", "not-needed".to_owned()),
                    ("AWS_REGION", self.region.clone()),
                ],
                "AnthropicBedrock()",
                "{ AnthropicBedrock } from \"@anthropic-ai/bedrock-sdk\"",
                "new AnthropicBedrock()",
            ),
            Via::Vertex => (
                vec![
                    ("ANTHROPIC_VERTEX_BASE_URL", format!("{}/v1", self.url)),
                    ("ANTHROPIC_VERTEX_PROJECT_ID", self.project.clone()),
                    ("CLOUD_ML_REGION", self.region.clone()),
                ],
                "AnthropicVertex(access_token=\"not-needed\")",
                "{ AnthropicVertex } from \"@anthropic-ai/vertex-sdk\"",
                "new AnthropicVertex({ accessToken: \"not-needed\" })",
            ),
            Via::Anthropic | Via::OpenAi | Via::Gemini => (
                vec![
                    ("ANTHROPIC_BASE_URL", self.url.clone()),
                    ("ANTHROPIC_API_KEY", "not-needed".to_owned()),
                ],
                "Anthropic()",
                "Anthropic from \"@anthropic-ai/sdk\"",
                "new Anthropic()",
            ),
        };
        let class = python.split('(').next().unwrap_or(python);
        let model = &self.model;
        self.python_ca(
            Setup::default().environment(KEY_NOTE, variables.into_iter().chain(self.node_ca())),
        )
        .code(
            Language::Python,
            "Python",
            format!(
                "from anthropic import {class}\n\
                 client = {python}\n\
                 answer = client.messages.create(\n    \
                     model=\"{model}\",\n    \
                     max_tokens=100,\n    \
                     messages=[{{\"role\": \"user\", \"content\": \"Hello\"}}],\n\
                 )\n\
                 print(answer.content[0].text)\n"
            ),
        )
        .code(
            Language::JavaScript,
            "Node.js",
            format!(
                "import {package};\n\
                 const client = {node};\n\
                 const answer = await client.messages.create({{\n  \
                     model: \"{model}\",\n  \
                     max_tokens: 100,\n  \
                     messages: [{{ role: \"user\", content: \"Hello\" }}],\n\
                 }});\n\
                 console.log(answer.content[0].text);\n"
            ),
        )
    }

    pub(super) fn google_genai(&self, via: Via) -> Setup {
        let (url, model) = (&self.url, &self.model);
        let (import, python, node) = match via {
            Via::Vertex => {
                let (project, region) = (&self.project, &self.region);
                (
                    "from google.oauth2.credentials import Credentials\n",
                    format!(
                        "    vertexai=True,\n    project=\"{project}\",\n    location=\"{region}\",\n    \
                         credentials=Credentials(\"not-needed\"),\n    \
                         http_options={{\"base_url\": \"{url}\"}},\n"
                    ),
                    None,
                )
            }
            Via::Gemini | Via::OpenAi | Via::Anthropic | Via::Bedrock => (
                "",
                format!(
                    "    api_key=\"not-needed\",\n    \
                     http_options={{\"base_url\": \"{url}\", \"api_version\": \"v1beta\"}},\n"
                ),
                Some(format!(
                    "import {{ GoogleGenAI }} from \"@google/genai\";\n\
                     const client = new GoogleGenAI({{\n  \
                         apiKey: \"not-needed\",\n  \
                         httpOptions: {{ baseUrl: \"{url}\", apiVersion: \"v1beta\" }},\n\
                     }});\n\
                     const answer = await client.models.generateContent({{ model: \"{model}\", \
                     contents: \"Hello\" }});\n\
                     console.log(answer.text);\n"
                )),
            ),
        };
        let mut setup = self.python_ca(Setup::default());
        if node.is_some() {
            setup = setup.environment("Node.js, beside its own roots", self.node_ca());
        }
        setup = setup.code(
            Language::Python,
            "Python. The SDK insists on a credential; this one is removed on the way.",
            format!(
                "from google import genai\n\
                 {import}\
                 client = genai.Client(\n\
                 {python}\
                 )\n\
                 answer = client.models.generate_content(model=\"{model}\", contents=\"Hello\")\n\
                 print(answer.text)\n"
            ),
        );
        match node {
            Some(node) => setup.code(Language::JavaScript, "Node.js", node),
            None => setup,
        }
    }

    pub(super) fn boto3(&self) -> Setup {
        let ca = self.ca_file.iter();
        let model = &self.model;
        Setup::default()
            .environment(
                KEY_NOTE,
                [
                    ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", self.url.clone()),
                    ("AWS_BEARER_TOKEN_BEDROCK", "not-needed".to_owned()),
                    ("AWS_REGION", self.region.clone()),
                    ("AWS_DEFAULT_REGION", self.region.clone()),
                ],
            )
            .environment(
                "AWS' SDKs trust only what is in this file. If the program calls other AWS services, put\n\
                 the system's roots in it as well.",
                ca.map(|file| ("AWS_CA_BUNDLE", file.clone())),
            )
            .code(
                Language::Python,
                "Python",
                format!(
                    "import boto3\n\
                     client = boto3.client(\"bedrock-runtime\")\n\
                     answer = client.converse(\n    \
                         modelId=\"{model}\",\n    \
                         messages=[{{\"role\": \"user\", \"content\": [{{\"text\": \"Hello\"}}]}}],\n\
                     )\n\
                     print(answer[\"output\"][\"message\"][\"content\"][0][\"text\"])\n"
                ),
            )
    }

    pub(super) fn langchain(&self, via: Via) -> Setup {
        let (url, model) = (&self.url, &self.model);
        let code = match via {
            Via::Anthropic => format!(
                "from langchain_anthropic import ChatAnthropic\n\
                 model = ChatAnthropic(model=\"{model}\", base_url=\"{url}\", api_key=\"not-needed\")\n"
            ),
            Via::OpenAi | Via::Bedrock | Via::Vertex | Via::Gemini => format!(
                "from langchain_openai import ChatOpenAI\n\
                 model = ChatOpenAI(model=\"{model}\", base_url=\"{url}/v1\", api_key=\"not-needed\")\n"
            ),
        };
        self.python_ca(Setup::default()).code(
            Language::Python,
            "Python. LangChain insists on a key; this one is removed on the way.",
            format!("{code}print(model.invoke(\"Hello\").text)\n"),
        )
    }

    pub(super) fn vercel_ai_sdk(&self, via: Via) -> Setup {
        let (url, model) = (&self.url, &self.model);
        let (function, package) = match via {
            Via::Anthropic => ("createAnthropic", "@ai-sdk/anthropic"),
            Via::OpenAi | Via::Bedrock | Via::Vertex | Via::Gemini => {
                ("createOpenAI", "@ai-sdk/openai")
            }
        };
        Setup::default()
            .environment("Node.js, beside its own roots", self.node_ca())
            .code(
                Language::JavaScript,
                "Node.js. The SDK insists on a key; this one is removed on the way.",
                format!(
                    "import {{ {function} }} from \"{package}\";\n\
                     import {{ generateText }} from \"ai\";\n\
                     const keyway = {function}({{ baseURL: \"{url}/v1\", apiKey: \"not-needed\" }});\n\
                     const {{ text }} = await generateText({{ model: keyway(\"{model}\"), prompt: \"Hello\" }});\n\
                     console.log(text);\n"
                ),
            )
    }

    pub(super) fn litellm(&self) -> Setup {
        let (url, model) = (&self.url, &self.model);
        self.python_ca(Setup::default()).file(
            "config.yaml",
            "",
            format!(
                "model_list:\n\
                 \x20 - model_name: {model}\n\
                 \x20   litellm_params:\n\
                 \x20     model: openai/{model}\n\
                 \x20     api_base: {url}/v1\n\
                 \x20     api_key: not-needed\n"
            ),
        )
    }

    pub(super) fn curl(&self, via: Via) -> Setup {
        let ca = match &self.ca_file {
            Some(file) => format!(" --cacert {file}"),
            None => String::new(),
        };
        let mut body = json!({
            "model": self.model,
            "messages": [{"role": "user", "content": "Hello"}],
        });
        let (path, version) = match via {
            Via::Anthropic => {
                body["max_tokens"] = json!(100);
                ("messages", "  -H 'anthropic-version: 2023-06-01' \\\n")
            }
            Via::OpenAi | Via::Bedrock | Via::Vertex | Via::Gemini => ("chat/completions", ""),
        };
        Setup::default().code(
            Language::Shell,
            "",
            format!(
                "curl{ca} {}/v1/{path} \\\n{version}  \
                 -H 'content-type: application/json' \\\n  \
                 -d '{body}'\n",
                self.url
            ),
        )
    }

    /// Node.js adds the file to its own roots.
    pub(super) fn node_ca(&self) -> Option<(&'static str, String)> {
        let file = self.ca_file.clone()?;
        Some(("NODE_EXTRA_CA_CERTS", file))
    }

    fn python_ca(&self, setup: Setup) -> Setup {
        let ca = self.ca_file.iter();
        setup.environment(
            PYTHON_CA_NOTE,
            ca.map(|file| ("SSL_CERT_FILE", file.clone())),
        )
    }
}
