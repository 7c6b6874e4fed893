import { describe, expect, it } from 'vitest';
import { readGraph } from '../../src/driver/graph.js';
import { buildAgents } from '../../src/driver/stubs.js';

const PYTHON = {
  root: 0,
  pending_owner: 0,
  pending_tools: [
    { type: 'FunctionTool', name: 'lost', needs_approval: 'callable' },
    { type: 'FunctionTool', name: 'search', mcp_tool_binding: ['docs', 'search', 0] },
    { type: 'FunctionTool', name: 'ask', needs_approval: true },
  ],
  pending_handoffs: [{ kind: 'handoff', tool_name: 'transfer_to_expert', agent: 1 }],
  agents: [
    {
      name: 'root',
      instructions: '$callable',
      tools: [
        {
          type: 'FunctionTool',
          name: 'ask',
          params_json_schema: { type: 'object', properties: {} },
          needs_approval: true,
          agent_tool: 1,
        },
        {
          type: 'HostedMCPTool',
          name: 'hosted_mcp',
          tool_config: { type: 'mcp', server_label: 's' },
        },
        {
          type: 'ShellTool',
          name: 'shell',
          environment: { type: 'container_reference', container_id: 'c' },
        },
        { type: 'CustomTool', name: 'raw', needs_approval: true },
      ],
      handoffs: [{ kind: 'agent', agent: 1 }],
      mcp_servers: [{ name: 'docs', tools: [{ name: 'search', inputSchema: {} }] }],
      mcp_tools: [
        {
          type: 'FunctionTool',
          name: 'search',
          params_json_schema: { type: 'object', properties: { q: {} } },
          mcp_tool_binding: ['docs', 'search', 0],
        },
      ],
    },
    { name: 'expert', identity: 'expert', tools: [], handoffs: [] },
    { name: 'expert', identity: 'expert#2', tools: [], handoffs: [] },
  ],
};

const TYPESCRIPT = {
  root: 0,
  agents: [
    {
      name: 'root',
      instructions: 'Help.',
      tools: [
        {
          type: 'function',
          name: 'ask',
          parameters: { type: 'object' },
          needsApproval: 'callable',
        },
        { type: 'hosted_tool', name: 'web_search', providerData: { type: 'web_search_preview' } },
        {
          type: 'hosted_tool',
          name: 'tool_search',
          providerData: { type: 'tool_search', execution: 'client' },
          has: ['clientToolSearchExecutor'],
        },
        { type: 'function', name: 'lookup', namespace: 'crm', namespaceDescription: 'CRM' },
      ],
      handoffs: [
        { kind: 'handoff', toolName: 'to_expert', agentName: 'expert', agent: 1, isEnabled: false },
      ],
    },
    {
      name: 'expert',
      tools: [],
      handoffs: [],
      outputType: { kind: 'json_schema', json_schema: {} },
    },
  ],
};

describe('readGraph', () => {
  it('reads what Python wrote', () => {
    const { agents } = readGraph(PYTHON);
    const [root, first, second] = agents;
    expect(root?.tools.map(({ kind, name }) => [kind, name])).toEqual([
      ['agent_tool', 'ask'],
      ['hosted_mcp', 'hosted_mcp'],
      ['shell', 'shell'],
      ['custom', 'raw'],
      ['function', 'lost'],
      ['function', 'ask'],
    ]);
    expect(root?.tools[2]?.environment).toEqual({ type: 'container_reference', containerId: 'c' });
    expect(root?.tools[4]?.needsApproval).toBe(true);
    expect(root?.instructions).toBeUndefined();
    expect(root?.mcpServers).toEqual([
      {
        name: 'docs',
        tools: [{ name: 'search', parameters: { type: 'object', properties: { q: {} } } }],
      },
    ]);
    expect(root?.handoffs.map(({ agent, toolName }) => [agent, toolName])).toEqual([
      [1, undefined],
    ]);
    const order = [first?.handoffDescription, second?.handoffDescription];
    expect([...order].sort()).toEqual(order);
  });

  it('reads what TypeScript wrote', () => {
    const [root, expert] = readGraph(TYPESCRIPT).agents;
    expect(root?.tools.map(({ kind, namespace }) => [kind, namespace])).toEqual([
      ['function', undefined],
      ['web_search', undefined],
      ['tool_search', undefined],
      ['function', 'crm'],
    ]);
    expect(root?.tools[0]?.needsApproval).toBe(true);
    expect(root?.tools[2]?.clientSearch).toBe(true);
    expect(root?.handoffs[0]).toMatchObject({ agent: 1, toolName: 'to_expert', enabled: false });
    expect(root?.instructions).toBe('Help.');
    expect(expert?.outputSchema).toEqual({});
  });

  it.each([{}, { agents: [] }, { agents: [{ name: 'a' }], root: 3 }])('refuses %j', (graph) => {
    expect(() => readGraph(graph)).toThrow(RangeError);
  });
});

describe('buildAgents', () => {
  it('makes every tool and handoff a snapshot can point at', async () => {
    const root = buildAgents(readGraph(PYTHON), {});
    const tools = await root.getAllTools({} as never);
    expect(tools.map((tool) => tool.name)).toEqual([
      'search',
      'ask',
      'hosted_mcp',
      'shell',
      'lost',
      'ask',
    ]);
    expect(root.handoffs.map((target) => ('name' in target ? target.name : ''))).toEqual([
      'expert',
    ]);
  });

  it('hands out what a search found, in the order of the calls', async () => {
    const found = (name: string) => ({
      type: 'tool_search_output_item',
      item: { call_id: 'c', tools: [{ type: 'function', name }] },
    });
    const asked = (id: string) => ({
      type: 'tool_search_call_item',
      item: { id, call_id: 'c' },
    });
    const nested = { items: [asked('one'), asked('two'), found('first'), found('second')] };
    const document = { items: [], response: { nested_runs: { outer: nested } } };
    const root = buildAgents(readGraph(TYPESCRIPT), document);
    const { getClientToolSearchExecutor } = await import('@openai/agents');
    const search = root.tools.find((tool) => tool.name === 'tool_search');
    const execute = search && getClientToolSearchExecutor(search);
    const names = async (id: string) => {
      const tools = await execute?.({ toolCall: { id, callId: 'c' } } as never);
      return [tools].flat().map((tool) => tool?.name);
    };
    expect(await names('one')).toEqual(['first']);
    expect(await names('two')).toEqual(['second']);
  });
});
