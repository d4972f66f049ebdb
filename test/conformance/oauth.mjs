// A token server that others wrote, oauth2-mock-server, and a receiver that verifies each token with jose by the server's
// published keys and issuer, as APIs do.
//
//   node oauth.mjs LEDGER
//
// It writes the ports of both to LEDGER.port and ends with its standard input.  With the path /once the receiver
// accepts a token once.  The ledger gets one line of JSON per request to either:
//
//   {"grant": ..., "scope": ..., "client": ...}      a token was requested, by this client
//   {"accepted": ..., "scope": ..., "path": ...}     one was sent

import crypto from "crypto";
import fs from "fs";
import http from "http";
import { createRemoteJWKSet, jwtVerify } from "jose";
import { OAuth2Server } from "oauth2-mock-server";

const ledger = process.argv[2];
const note = (entry) => fs.appendFileSync(ledger, JSON.stringify(entry) + "\n");
const server = new OAuth2Server();

await server.issuer.keys.generate("RS256");
await server.start(0, "127.0.0.1");
server.service.on("beforeResponse", (response, request) => {
  const basic = Buffer.from((request.headers.authorization ?? "").replace("Basic ", ""), "base64").toString();
  note({ grant: request.body.grant_type, scope: request.body.scope, client: basic || `${request.body.client_id}:${request.body.client_secret}` });
});

// Two tokens of the same second differ.
server.service.on("beforeTokenSigning", (token) => {
  token.payload.jti = crypto.randomUUID();
});

const keys = createRemoteJWKSet(new URL(`http://127.0.0.1:${server.address().port}/jwks`));
let revoked = "";
const receiver = http.createServer((request, response) => {
  request.resume();
  request.on("end", async () => {
    const token = (request.headers.authorization ?? "").replace("Bearer ", "");
    let claims = {};
    try {
      claims = (await jwtVerify(token, keys, { issuer: server.issuer.url })).payload;
    } catch {
      claims = {};
    }
    const accepted = claims.iss !== undefined && token !== revoked;
    if (accepted && request.url === "/once") revoked = token;
    note({ accepted, scope: claims.scope, path: request.url });
    response.writeHead(accepted ? 200 : 401).end();
  });
});
receiver.listen(0, "127.0.0.1", () => fs.writeFileSync(`${ledger}.port`, `${server.address().port} ${receiver.address().port}\n`));
process.stdin.on("end", () => process.exit(0)).resume();
