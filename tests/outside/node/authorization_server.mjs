// An OAuth authorization server (oidc-provider) on loopback, and a second port by which the test says how it behaves.
//
// The order comes as JSON in the first argument: {port, control, modules, keys, certificate, secret}: the ports, the folder
// of the npm packages, the folder to write the public key to (where Dovecot looks for it), the PEM file of the certificate
// by which the client `by-certificate` proves who it is, and the secret of `by-secret` and `desktop`. Says "ready" on stdout.
//
// Nobody looks at a page: a browser signs in the person that the state names.
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';

const order = JSON.parse(process.argv[2]);
const { default: Provider } = await import(`${order.modules}/oidc-provider/lib/index.js`);

const issuer = `http://127.0.0.1:${order.port}`;
const RESOURCE = 'urn:mail';
const GRAPH = 'https://graph.microsoft.com';
const SEND_BY_GRAPH = `${GRAPH}/Mail.Send`;
const DEVICE = 'urn:ietf:params:oauth:grant-type:device_code';
const APPLICATION = 'app@firm.example';

const state = {
    person: 'mailer@firm.example',  // who signs in next in a browser
    life: 60,                       // seconds that an access token lasts
    codeLife: 600,                  // seconds that the code of a device is good for
    strict: false,                  // an old refresh token ends its whole family, else it goes on working
    conduct: { kind: 'well' },      // what becomes of token requests
    exchanges: [],                  // token requests and their answers, as they were made out
};

const signing = generateKeyPairSync('rsa', { modulusLength: 2048 });
const publish = (key, name) => {
    mkdirSync(`${order.keys}/${name}/RS256`, { recursive: true });
    writeFileSync(`${order.keys}/${name}/RS256/k1`, key.export({ format: 'pem', type: 'spki' }));
};
const jwkOf = (key, more) => ({ ...key.export({ format: 'jwk' }), ...more });

// A native client may come back at any port of loopback (RFC 8252 7.3).
const native = {
    application_type: 'native', response_types: ['code'], grant_types: [DEVICE, 'refresh_token', 'authorization_code'],
    redirect_uris: ['http://127.0.0.1/', 'http://127.0.0.1', 'http://localhost/', 'http://localhost'],
};
const application = (id, more) => ({
    client_id: id, grant_types: ['client_credentials'], response_types: [], redirect_uris: [], ...more,
});
// Microsoft tells by the scope what a token is for.
const resourceOf = (scope) => (scope?.includes(GRAPH) ? GRAPH : RESOURCE);
const provider = new Provider(issuer, {
    jwks: { keys: [jwkOf(signing.privateKey, { kid: 'k1', alg: 'RS256', use: 'sig' })] },
    clients: [
        { client_id: 'relay', token_endpoint_auth_method: 'none', ...native },
        { client_id: 'desktop', client_secret: order.secret, token_endpoint_auth_method: 'client_secret_post', ...native },
        application('by-secret', { client_secret: order.secret, token_endpoint_auth_method: 'client_secret_post' }),
        application('by-certificate', {
            token_endpoint_auth_method: 'private_key_jwt', token_endpoint_auth_signing_alg: 'PS256',
            jwks: { keys: [jwkOf(createPublicKey(readFileSync(order.certificate)), { use: 'sig' })] },
        }),
    ],
    clientBasedCORS: () => false,
    scopes: ['openid', 'offline_access', 'SMTP.Send', SEND_BY_GRAPH],
    claims: { openid: ['sub', 'email', 'preferred_username'] },
    conformIdTokenClaims: false,
    features: {
        devInteractions: { enabled: false },
        deviceFlow: { enabled: true },
        clientCredentials: { enabled: true },
        resourceIndicators: {
            enabled: true,
            defaultResource: (ctx, client, offered) => (offered ? offered[0] : resourceOf(ctx.oidc.params?.scope)),
            useGrantedResource: () => true,
            getResourceServerInfo: (ctx, resource) => ({
                scope: resource === GRAPH ? `${SEND_BY_GRAPH} ${GRAPH}/.default` : 'SMTP.Send .default', audience: resource, accessTokenTTL: state.life, accessTokenFormat: 'jwt',
                jwt: { sign: { alg: 'RS256' } },
            }),
        },
    },
    interactions: { url: (ctx, interaction) => `/person/${interaction.uid}` },
    // As long as Microsoft's are: an AUTH command must not carry them in its own line (RFC 4954 4).
    extraTokenClaims: (ctx, token) => ({ email: token.accountId ?? APPLICATION, wids: 'x'.repeat(1200) }),
    // Dovecot takes no other type than this.
    formats: { customizers: { jwt: (ctx, token, jwt) => { jwt.header = { ...jwt.header, typ: 'JWT' }; } } },
    rotateRefreshToken: () => true,
    issueRefreshToken: (ctx, client) => client.grantTypeAllowed('refresh_token'),
    expiresWithSession: () => false,
    findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id, email: id, preferred_username: id }) }),
    ttl: { DeviceCode: () => state.codeLife, RefreshToken: 86400, Grant: 86400, Session: 86400, Interaction: 600, IdToken: 600 },
});
const consume = provider.RefreshToken.prototype.consume;
provider.RefreshToken.prototype.consume = async function () {
    if (state.strict) await consume.call(this);
};
for (const event of ['server_error', 'grant.error', 'device_authorization.error', 'authorization.error']) {
    provider.on(event, (ctx, error) => console.error(event, error.message, error.error_description, error.error_detail ?? '', error.stack));
}

const grantTo = async (person, clientId) => {
    const grant = new provider.Grant({ accountId: person, clientId });
    grant.addOIDCScope('openid offline_access SMTP.Send');
    grant.addResourceScope(RESOURCE, 'SMTP.Send');
    grant.addResourceScope(GRAPH, SEND_BY_GRAPH);
    return grant.save();
};

// What a person would do on the pages to which /auth leads.
const agree = async (request, response) => {
    const { params } = await provider.interactionDetails(request, response);
    const grantId = await grantTo(state.person, params.client_id);
    await provider.interactionFinished(request, response, { login: { accountId: state.person }, consent: { grantId } });
};

// What a person would do where the page asks for the code of a device.
const decide = async (query) => {
    const code = await provider.DeviceCode.findByUserCode(query.get('code').replace(/[^A-Z0-9]/gi, '').toUpperCase());
    if (!code) return 404;
    if (query.has('deny')) {
        Object.assign(code, { error: 'access_denied', errorDescription: 'the person said no' });
    } else {
        const person = query.get('as') ?? state.person;
        Object.assign(code, {
            accountId: person, grantId: await grantTo(person, code.clientId), scope: code.params.scope,
            resource: code.params.resource, claims: code.params.claims, authTime: Math.floor(Date.now() / 1000),
        });
    }
    await code.save();
    return 204;
};

// Takes down what a token request asks and what it is answered, and holds the answer back where that is wanted.
const overhear = (asked, response, conduct) => {
    const exchange = { at: Date.now() / 1000, asked, status: null, answer: null };
    state.exchanges.push(exchange);
    const end = response.end.bind(response);
    response.end = (body, ...more) => {
        exchange.status = response.statusCode;
        exchange.answer = body ? String(body) : '';
        setTimeout(() => end(body, ...more), conduct.kind === 'late' ? conduct.seconds * 1000 : 0);
        return response;
    };
};

const read = async (request) => {
    let text = '';
    for await (const octets of request) text += octets;
    return text;
};

const misbehave = (request, response, conduct) => {
    if (conduct.kind === 'answer') {
        response.writeHead(conduct.status, conduct.headers ?? { 'content-type': 'application/json' });
        response.end(conduct.body);
    } else if (conduct.kind === 'octets') {
        request.socket.end(Buffer.from(conduct.octets, 'base64'));
    } else {
        request.socket.destroy();
    }
};

const handle = provider.callback();
const serve = (request, response) => {
    const url = new URL(request.url, issuer);
    if (url.pathname.startsWith('/person/')) {
        agree(request, response).catch((error) => {
            console.error(error);
            response.writeHead(500).end(String(error));
        });
        return;
    }
    if (url.pathname === '/auth' && url.searchParams.get('scope')?.includes('offline_access') && !url.searchParams.has('prompt')) {
        // Other servers give a refresh token for the asking.
        url.searchParams.set('prompt', 'consent');
        request.url = url.pathname + url.search;
    }
    if (url.pathname === '/token') exchange(request, response).catch((error) => console.error(error));
    else handle(request, response);
};

// A token request, and what becomes of it.
const exchange = async (request, response) => {
    const { conduct } = state;
    const asked = await read(request);
    if (conduct.kind === 'slow') await new Promise((done) => { setTimeout(done, conduct.seconds * 1000); });
    overhear(asked, response, conduct);
    if (!['well', 'late', 'slow'].includes(conduct.kind)) return misbehave(request, response, conduct);
    // What has been read is handed over parsed.
    request.body = Object.fromEntries(new URLSearchParams(asked));
    return handle(request, response);
};

let server = null;
const open = () => new Promise((done) => {
    server = createServer(serve).listen(order.port, '127.0.0.1', done);
});
const close = () => new Promise((done) => {
    if (!server) return done();
    server.close(done);
    server.closeAllConnections();
    server = null;
});

const control = async (request) => {
    const url = new URL(request.url, 'http://control');
    const body = await read(request);
    switch (url.pathname) {
        case '/exchanges': return [200, state.exchanges.slice(Number(url.searchParams.get('since') ?? 0))];
        case '/decide': return [await decide(url.searchParams), {}];
        case '/set': {
            Object.assign(state, JSON.parse(body));
            if (state.conduct.kind === 'down') await close();
            else if (!server) await open();
            return [200, {}];
        }
        default: return [404, {}];
    }
};
createServer((request, response) => {
    control(request).catch((error) => [500, { error: String(error) }]).then(([status, answer]) => {
        response.writeHead(status, { 'content-type': 'application/json' });
        response.end(status === 204 ? undefined : JSON.stringify(answer));
    });
}).listen(order.control, '127.0.0.1');

publish(signing.publicKey, 'default');
for (const client of ['relay', 'by-secret', 'by-certificate']) publish(signing.publicKey, client);
await open();
console.log('ready');
