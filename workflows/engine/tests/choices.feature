Feature: Our choices
  Where the specification is silent, in the step language of its conformance kit. See docs/language.md.

  Scenario: Expressions without braces stand where only expressions can stand (1)
    Given a workflow with definition:
    """yaml
    document: { dsl: '1.0.3', namespace: choices, name: bare, version: '1.0.0' }
    do:
      - one: { if: .n == 1, set: { text: '.n', half: 'n is ${ .n }', whole: '${ .n }' }, output: { as: '{ text, half, whole, two: .whole }' } }
    """
    And given the workflow input is:
    """yaml
    n: 1
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    { text: '.n', half: 'n is ${ .n }', whole: 1, two: 1 }
    """

  Scenario: The context begins as the input, and the last export counts (2)
    Given a workflow with definition:
    """yaml
    document: { dsl: '1.0.3', namespace: choices, name: context, version: '1.0.0' }
    output: { as: $context }
    do:
      - both:
          fork:
            branches:
              - a: { set: { was: '${ $context.n }' }, export: { as: '$context + { a: .was }' } }
              - b: { set: { b: 2 }, export: { as: '$context + .' } }
    """
    And given the workflow input is:
    """yaml
    n: 1
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    { n: 1, b: 2 }
    """

  Scenario: A task that is passed by hands its raw input on (3)
    Given a workflow with definition:
    """yaml
    document: { dsl: '1.0.3', namespace: choices, name: passed, version: '1.0.0' }
    do:
      - one: { if: 'false', input: { from: .a }, set: { n: 1 }, output: { as: .b }, then: end }
      - two: { set: { seen: '${ . }' } }
    """
    And given the workflow input is:
    """yaml
    a: 1
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    seen: { a: 1 }
    """

  Scenario: A loop hands its output on, and exit leaves one iteration (4, 5)
    Given a workflow with definition:
    """yaml
    document: { dsl: '1.0.3', namespace: choices, name: loop, version: '1.0.0' }
    do:
      - each:
          for: { each: x, in: '[1, 2, 3]' }
          do:
            - add: { set: { sum: '${ (.sum // 0) + $x }' }, then: exit }
            - never: { set: { sum: -1 } }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    sum: 6
    """

  Scenario: Iterations together give an array (4)
    Given a workflow with definition:
    """yaml
    document: { dsl: '1.0.3', namespace: choices, name: together, version: '1.0.0' }
    do:
      - each: { for: { in: .list }, metadata: { dr: { atOnce: true } }, do: [ twice: { set: '${ $item * 2 + $index }' } ] }
    """
    And given the workflow input is:
    """yaml
    list: [ 1, 2, 3 ]
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    [ 2, 5, 8 ]
    """

  Scenario: A fork gives its outputs in the order of its branches (6)
    Given a workflow with definition:
    """yaml
    document: { dsl: '1.0.3', namespace: choices, name: fork, version: '1.0.0' }
    do:
      - both: { fork: { branches: [ long: { do: [ x: { set: '1' }, y: { set: . + 1 } ] }, short: { set: '3' } ] } }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    [ 2, 3 ]
    """

  Scenario: An error in a race is an error of the race (6)
    Given a workflow with definition:
    """yaml
    document: { dsl: '1.0.3', namespace: choices, name: race, version: '1.0.0' }
    do:
      - race:
          fork:
            compete: true
            branches:
              - bad: { raise: { error: { type: https://example.org/bad, status: 400 } } }
              - good: { wait: PT1H }
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    { type: https://example.org/bad, status: 400, instance: /do/0/race/fork/branches/0/bad }
    """

  Scenario: Types of standard errors are equal in all spellings (10)
    Given a workflow with definition:
    """yaml
    document: { dsl: '1.0.3', namespace: choices, name: spelling, version: '1.0.0' }
    do:
      - safe:
          try: [ bad: { raise: { error: { type: https://serverlessworkflow.io/spec/1.0.0/errors/timeout, status: 408 } } } ]
          catch: { errors: { with: { type: https://open-workflow-specification.org/dsl/errors/types/timeout } }, do: [ yes: { set: { caught: true } } ] }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    caught: true
    """

  Scenario: A catch without do hands the input on (11)
    Given a workflow with definition:
    """yaml
    document: { dsl: '1.0.3', namespace: choices, name: input, version: '1.0.0' }
    do:
      - safe:
          try: [ a: { set: { n: 2 } }, bad: { raise: { error: { type: https://example.org/bad, status: 400 } } } ]
          catch: {}
    """
    And given the workflow input is:
    """yaml
    n: 1
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    n: 1
    """

  Scenario: Retries come first, and catch.do takes what is left (12)
    Given a workflow with definition:
    """yaml
    document: { dsl: '1.0.3', namespace: choices, name: retries, version: '1.0.0' }
    do:
      - start: { set: { tries: 0 }, export: { as: . } }
      - safe:
          try:
            - count: { set: { tries: '${ $context.tries + 1 }' }, export: { as: . } }
            - bad: { raise: { error: { type: https://example.org/bad, status: 400 } } }
          catch: { retry: { limit: { attempt: { count: 2 } } }, do: [ give: { set: '{ tries: $context.tries }' } ] }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    tries: 3
    """

  Scenario: Without a limit there are ten retries, and then the error goes on (12)
    Given a workflow with definition:
    """yaml
    document: { dsl: '1.0.3', namespace: choices, name: bounded, version: '1.0.0' }
    do:
      - start: { set: { tries: 0 }, export: { as: . } }
      - outer:
          try:
            - safe:
                try:
                  - count: { set: { tries: '${ $context.tries + 1 }' }, export: { as: . } }
                  - bad: { raise: { error: { type: https://example.org/bad, status: 400 } } }
                catch: { retry: {} }
          catch: { do: [ give: { set: '{ tries: $context.tries }' } ] }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    tries: 11
    """

  Scenario: An event has an id, a source and a time of its own (16)
    Given a workflow with definition:
    """yaml
    document: { dsl: '1.0.3', namespace: choices, name: emit, version: '1.0.0' }
    do:
      - say: { emit: { event: { with: { type: a.b.v1 } } } }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    { specversion: '1.0', type: a.b.v1, id: 'run-1:/do/0/say', source: /workflows/choices/emit, time: '2026-11-24T12:00:00.000Z' }
    """

  Scenario: A switch takes the first case that holds, then the default, and hands its input on (19, 20)
    Given a workflow with definition:
    """yaml
    document: { dsl: '1.0.3', namespace: choices, name: switch, version: '1.0.0' }
    do:
      - which: { switch: [ otherwise: { then: no }, empty: { when: .nothing, then: no }, zero: { when: .n, then: yes }, more: { when: 'true', then: no } ] }
      - no: { set: { wrong: true }, then: end }
      - yes: { set: { n: '${ .n }', right: true } }
    """
    And given the workflow input is:
    """yaml
    n: 0
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    { n: 0, right: true }
    """
