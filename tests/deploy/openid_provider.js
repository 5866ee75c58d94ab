// A certified OpenID provider (oidc-provider) with one client and its own pages for login and consent, for tests.
// node provider.js PORT CLIENT SECRET REDIRECT_URI
import { Provider } from "oidc-provider";

const [port, client, secret, redirect] = process.argv.slice(2);
const groups = { ann: ["tools"], bob: ["staff"] };

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [{ client_id: client, client_secret: secret, redirect_uris: [redirect] }],
  pkce: { required: () => true },
  scopes: ["openid", "profile", "email"],
  claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["groups"] },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({ sub: id, email: `${id}@acme.example`, email_verified: true, groups: groups[id] ?? [] }),
  }),
});

provider.listen(Number(port), "127.0.0.1");
