// A receiver that believes nothing: every request is verified by the official libraries of those who wrote the
// specifications, and by Node's own crypto where they have none (v1a).
//
//   node receiver.js LEDGER SECRETS SCHEMAS CATALOGUE
//
// It listens on a port of its own, prints it, and ends with its standard input.  SECRETS is a file of JSON, read for
// each request: {"/path": {"secrets": ["whsec_..."], "public_keys": ["whpk_..."]}, ...}.  SCHEMAS has the JSON Schema of
// each format, with that of the headers in "$defs": {"entity": {...}, ...}; CATALOGUE, which is read for each request, that of
// single paths, one for each trigger name.  The ledger gets one line of JSON per request:
//
//   {"path": ..., "method": ..., "format": the last part of the path, "length": of the body in bytes,
//    "signatures": ["v1", "v1a"], "standardwebhooks": [...], "svix": [...], "v1a": [...], "event": {...} or "error": ...,
//    "github": [...], "stripe": [...], "shopify": [...],
//    "schema": what ajv finds wrong with headers and body,
//    "catalogue": the same for the schema of the path, "loose": whether that accepts the body with one more key}
//
// "standardwebhooks", "svix" and "v1a" tell for each secret or public key whether it verified the request, "github",
// "stripe" and "shopify" for each of "texts", secrets as they stand; "event" is what the CloudEvents SDK read.
// For a path /batch/... that is a list, as are "ids", those of the messages.

"use strict";

const crypto = require("crypto");
const fs = require("fs");
const http = require("http");
require("@shopify/shopify-api/adapters/node");
const { ApiVersion, shopifyApi } = require("@shopify/shopify-api");
const Ajv = require("ajv/dist/2020");
const addFormats = require("ajv-formats");
const { HTTP } = require("cloudevents");
const standardwebhooks = require("standardwebhooks");
const Stripe = require("stripe");
const svix = require("svix");

const [ledger, secretsFile, schemasFile, catalogueFile] = process.argv.slice(2);
const ajv = addFormats(new Ajv({ strict: true, strictTypes: false, strictRequired: false, allErrors: true }));
const validators = Object.entries(JSON.parse(fs.readFileSync(schemasFile, "utf8"))).map(([format, schema]) => [
  format,
  {
    body: ajv.compile(schema),
    headers: ajv.compile(schema.$defs.headers),
    batch: schema.$defs.batch && ajv.compile(schema.$defs.batch),
  },
]);
const schemas = Object.fromEntries(validators);

// Do the libraries accept it?  They parse the body, too, which a GET does not have.
function verified(library, secret, body, headers) {
  try {
    new library.Webhook(secret).verify(body, headers);
    return true;
  } catch (error) {
    if (error instanceof SyntaxError && body === "") {
      return true;
    }
    return false;
  }
}

function verifiedByPublicKey(publicKey, body, headers) {
  const der = Buffer.concat([
    Buffer.from("302a300506032b6570032100", "hex"),
    Buffer.from(publicKey.replace(/^whpk_/, ""), "base64"),
  ]);
  const key = crypto.createPublicKey({ key: der, format: "der", type: "spki" });
  const signed = Buffer.concat([
    Buffer.from(`${headers["webhook-id"]}.${headers["webhook-timestamp"]}.`),
    body,
  ]);

  return headers["webhook-signature"].split(" ")
    .filter((signature) => signature.startsWith("v1a,"))
    .some((signature) => crypto.verify(null, signed, key, Buffer.from(signature.substring(4), "base64")));
}

function readEvent(headers, body) {
  const events = HTTP.toEvent({ headers, body });

  [events].flat().forEach((event) => event.validate());
  return Array.isArray(events) ? events.map((event) => event.toJSON()) : events.toJSON();
}

function schemaErrors(format, batched, headers, text) {
  const { [format]: validate } = schemas;

  if (!validate) {
    return [`no schema for ${format}`];
  }
  const body = text === "" ? undefined : JSON.parse(text);
  const values = body === undefined ? { headers } : batched ? { headers, batch: body } : { headers, body };

  return Object.entries(values).flatMap(([part, value]) =>
    validate[part](value) ? [] : validate[part].errors.map((error) => `${part}${error.instancePath} ${error.message}`));
}

// By text, as each is for many requests.
const compiled = new Map();

function compile(schema) {
  const text = JSON.stringify(schema);

  if (!compiled.has(text)) {
    compiled.set(text, ajv.compile(schema));
  }
  return compiled.get(text);
}

// A body fits if it does so for one of the trigger names that are sent to the path; the messages of a batch may differ in it.
function catalogueErrors(path, headers, text) {
  const schemas = Object.values(JSON.parse(fs.readFileSync(catalogueFile, "utf8"))[path] || {});
  const body = JSON.parse(text);
  const batched = schemas.some((schema) => schema.type === "array" && schema.maxItems);
  const values = batched ? body.map((element) => [element]) : [body];
  const check = (schema, value) => [[compile(schema), value], [compile(schema.$defs.headers), headers]]
    .flatMap(([validate, part]) => validate(part) ? [] : validate.errors);
  const isObject = (value) => value !== null && typeof value === "object";
  const more = (value) => Array.isArray(value) ? value.map(more) : isObject(value) ? { ...value, "no such key": 1 } : "no object";

  return schemas.length === 0 ? {} : {
    catalogue: values.flatMap((value) => {
      const errors = schemas.map((schema) => check(schema, value));

      return errors.some((list) => list.length === 0) ? [] :
        errors.flat().map((error) => `${path} ${error.instancePath} ${error.message}: ${text}`);
    }),
    loose: values.some((value) => schemas.some((schema) => check(schema, more(value)).length === 0)),
  };
}

async function verifiedByGithub(secret, request, text) {
  const { verify } = await import("@octokit/webhooks-methods");

  return verify(secret, text, request.headers["x-hub-signature-256"]);
}

function verifiedByStripe(secret, request, text) {
  return Boolean(Stripe.webhooks.constructEvent(text, request.headers["stripe-signature"], secret));
}

async function verifiedByShopify(secret, request, text) {
  const shopify = shopifyApi({
    apiKey: "key", apiSecretKey: secret, apiVersion: ApiVersion.January25, hostName: "localhost", isEmbeddedApp: false,
    logger: { log: () => {} },
  });

  return (await shopify.webhooks.validate({ rawBody: text, rawRequest: request })).valid;
}

const others = [
  ["github", "x-hub-signature-256", verifiedByGithub],
  ["stripe", "stripe-signature", verifiedByStripe],
  ["shopify", "x-shopify-hmac-sha256", verifiedByShopify],
];

// Which of the secrets verify the request?  A library that throws does not.
function verifiedByTexts(verify, header, texts, request, text) {
  return Promise.all(texts.map(async (secret) => {
    try {
      return header in request.headers && await verify(secret, request, text);
    } catch {
      return false;
    }
  }));
}

async function examine(request, body) {
  const path = request.url.split("?")[0];
  const { secrets = [], public_keys: publicKeys = [], texts = [] } = JSON.parse(fs.readFileSync(secretsFile, "utf8"))[path] || {};
  const headers = request.headers;
  const text = body.toString("utf8");
  const entry = {
    path,
    method: request.method,
    id: headers["webhook-id"],
    length: body.length,
    signature: headers["webhook-signature"],
    signatures: (headers["webhook-signature"] || "").split(" ").map((signature) => signature.split(",")[0]),
    standardwebhooks: secrets.map((secret) => verified(standardwebhooks, secret, text, headers)),
    svix: secrets.map((secret) => verified(svix, secret, text, headers)),
    v1a: publicKeys.map((key) => verifiedByPublicKey(key, body, headers)),
    changed: secrets.map((secret) => verified(standardwebhooks, secret, text + " ", headers)),
  };

  for (const [name, header, verify] of others) {
    entry[name] = await verifiedByTexts(verify, header, texts, request, text);
    entry[`${name}_changed`] = await verifiedByTexts(verify, header, texts, request, text + " ");
  }
  const batched = path.startsWith("/batch/");

  entry.schema = schemaErrors(path.split("/").pop(), batched, headers, text);
  if (text !== "") {
    Object.assign(entry, catalogueErrors(path, headers, text));
  }
  if (batched) {
    entry.ids = JSON.parse(text).map((message) => message.id);
  }
  if (/cloudevents/.test(path) && body.length > 0) {
    try {
      entry.event = readEvent(headers, text);
    } catch (error) {
      entry.error = String(error);
    }
  }
  return entry;
}

const server = http.createServer((request, response) => {
  const chunks = [];

  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", async () => {
    let entry;

    try {
      entry = await examine(request, Buffer.concat(chunks));
    } catch (error) {
      entry = { path: request.url, error: String(error) };
    }
    fs.appendFileSync(ledger, JSON.stringify(entry) + "\n");
    response.end("ok");
  });
});

server.listen(0, "127.0.0.1", () => fs.writeFileSync(ledger + ".port", String(server.address().port) + "\n"));
process.stdin.on("end", () => process.exit(0)).resume();
