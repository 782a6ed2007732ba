// Puts GraphiQL on its page: queries and mutations go to /graphql by HTTP, subscriptions by WebSocket.
'use strict';

const url = new URL('/graphql', window.location.href);
const socket = new URL(url);
socket.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';

// A browser cannot set headers on a WebSocket: those of the editor are sent as the connection's first message.
let headers = {};
const client = graphqlWs.createClient({ url: socket.href, connectionParams: () => headers });

const fetcher = GraphiQL.createFetcher({ url: url.href, wsClient: client });

const defaultQuery = `# Ctrl-Enter runs the query at the cursor.
# Credentials go into the tab "Headers" below:
#   {"X-PLATFORMATIC-ADMIN-SECRET": "…"}

query Queues {
  queues(limit: 10) {
    id
    name
    callbackUrl
  }
}
`;

ReactDOM.createRoot(document.getElementById('graphiql')).render(
  React.createElement(GraphiQL, {
    fetcher: (parameters, options) => {
      headers = (options && options.headers) || {};
      return fetcher(parameters, options);
    },
    defaultQuery,
    defaultEditorToolsVisibility: 'headers',
    isHeadersEditorEnabled: true,
  }),
);
