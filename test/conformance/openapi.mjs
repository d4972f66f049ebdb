// Validates an OpenAPI document from standard input, by the official schema of its version, and that its references can be
// resolved.
//
//   node openapi.mjs <document.json

import fs from "fs";
import { Validator } from "@seriousme/openapi-schema-validator";

const validator = new Validator();
const result = await validator.validate(JSON.parse(fs.readFileSync(0, "utf8")));

if (result.valid) {
  validator.resolveRefs();
}
process.stdout.write(JSON.stringify({ version: validator.version, ...result }));
